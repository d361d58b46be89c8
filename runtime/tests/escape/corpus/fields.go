// Fields of variables, and of what pointers point to.
package corpus

type T struct{ a, b, c *int }
type N struct {
	next *N
	val  *int
}
type O struct{ in T }

var gp *int
var gt *T

// differs: only the other field is returned.
func otherField() *int { //: func otherField() r
	x, y := 1, 2 //: local x; local y; local t; local u; local v; local w
	t := T{}
	t.a = &x   //: u = &x; t.0 = u
	t.b = &y   //: v = &y; t.1 = v
	return t.b //: w = t.1; return w
}

func sameField() *int { //: func sameField() r
	x := 1 //: local x; local t; local u; local w
	t := T{}
	t.a = &x   //: u = &x; t.0 = u
	return t.a //: w = t.0; return w
}

// differs: only the other field goes to a global.
func otherFieldLeaks() int { //: func otherFieldLeaks() r
	x, y := 1, 2 //: local x; local y; local t; local u; local v; local w
	t := T{}
	t.a = &x    //: u = &x; t.0 = u
	t.b = &y    //: v = &y; t.1 = v
	gp = t.b    //: w = t.1; global = w
	return *t.a //: return _
}

func whole() T { //: func whole() r
	x := 1 //: local x; local t; local u
	t := T{}
	t.a = &x //: u = &x; t.0 = u
	return t //: return t
}

func wholeThenField() int { //: func wholeThenField() r
	x := 1 //: local x; local t; local u; local s
	t := T{}
	t.a = &x    //: u = &x; t.0 = u
	s := t      //: s = t
	return *s.a //: return _
}

func wholeThenFieldLeaks() { //: func wholeThenFieldLeaks()
	x := 1 //: local x; local t; local u; local s; local w
	t := T{}
	t.a = &x //: u = &x; t.0 = u
	s := t   //: s = t
	gp = s.a //: w = s.0; global = w
}

// differs: only field b of the parameter's object leaks, and x is in field a.
func fieldsThroughPointer() int { //: func fieldsThroughPointer() r
	x, y := 1, 2 //: local x; local y; local t; local u; local v; local w; local p
	t := T{}
	p := &t     //: p = &t
	t.a = &x    //: u = &x; t.0 = u
	t.b = &y    //: v = &y; t.1 = v
	gp = p.b    //: w = p->1; global = w
	return *t.a //: return _
}

func arrayElements() *int { //: func arrayElements() r
	x, y := 1, 2 //: local x; local y; local a; local u; local v; local w
	var a [2]*int
	a[0] = &x   //: u = &x; a.2 = u
	a[1] = &y   //: v = &y; a.2 = v
	return a[1] //: w = a.2; return w
}

func fieldOfField() *int { //: func fieldOfField() r
	x := 1 //: local x; local o; local u; local w
	o := O{}
	o.in.a = &x   //: u = &x; o.0 = u
	return o.in.b //: w = o.0; return w
}

func addressOfField() **int { //: func addressOfField() r
	t := T{}    //: local t; local u
	return &t.a //: u = &t.0; return u
}

func addressOfFieldKept() int { //: func addressOfFieldKept() r
	x := 1 //: local x; local t; local u; local q
	t := T{}
	t.a = &x   //: u = &x; t.0 = u
	q := &t.a  //: q = &t.0
	return **q //: return _
}

func fieldAddressSeesOthers() *int { //: func fieldAddressSeesOthers() r
	x := 1 //: local x; local t; local u; local q; local w
	t := T{}
	t.a = &x  //: u = &x; t.0 = u
	q := &t.a //: q = &t.0
	return *q //: w = *q; return w
}

func parameterField(t *T) *int { //: func parameterField(t) r
	return t.a //: local w; w = t->0; return w
}

func callsParameterField() int { //: func callsParameterField() r
	x := 1 //: local x; local t; local u; local p; local q
	t := T{}
	t.a = &x                //: u = &x; t.0 = u
	q := parameterField(&t) //: p = &t; q = parameterField(p)
	return *q               //: return _
}

func leaksField(t *T) { //: func leaksField(t)
	gp = t.b //: local w; w = t->1; global = w
}

func callsLeaksField() { //: func callsLeaksField()
	x := 1 //: local x; local t; local u; local p
	t := T{}
	t.b = &x       //: u = &x; t.1 = u
	leaksField(&t) //: p = &t; leaksField(p)
}

func valueParameter(t T) *int { //: func valueParameter(t) r
	return t.a //: local w; w = t.0; return w
}

func callsValueParameter() int { //: func callsValueParameter() r
	x := 1 //: local x; local t; local u; local q
	t := T{}
	t.a = &x               //: u = &x; t.0 = u
	q := valueParameter(t) //: q = valueParameter(t)
	return *q              //: return _
}

func selfAssign(t *T) { //: func selfAssign(t)
	t.a = t.b //: local w; w = t->1; t->0 = w
}

func callsSelfAssign() int { //: func callsSelfAssign() r
	x := 1 //: local x; local t; local u; local p
	t := T{}
	t.b = &x       //: u = &x; t.1 = u
	selfAssign(&t) //: p = &t; selfAssign(p)
	return *t.a    //: return _
}

func methodValue(t *T) *T { //: func methodValue(t) r
	return t //: return t
}

func chained() int { //: func chained() r
	x := 1 //: local x; local t; local u; local p; local q; local w
	t := T{}
	t.c = &x                          //: u = &x; t.2 = u
	p := methodValue(methodValue(&t)) //: p = &t; q = methodValue(p); w = methodValue(q)
	return *p.c                       //: return _
}

func literal() *int { //: func literal() r
	x := 1               //: local x; local t; local u; local w
	t := T{nil, nil, &x} //: u = &x; t.2 = u
	return t.c           //: w = t.2; return w
}

func literalDropped() int { //: func literalDropped() r
	x := 1               //: local x; local t; local u
	t := T{nil, nil, &x} //: u = &x; t.2 = u
	return *t.c          //: return _
}

// differs: the field that leaves the round was set to what stays; Go mixes both.
func roundOfFields(n int) *int { //: func roundOfFields(n) r
	y := 2 //: local y; local keep; local v
	var keep *int
	for i := 0; i < n; i++ { //: loop; local t; local u; local w
		x := i //: local x
		t := T{}
		t.a = &x   //: u = &x; t.0 = u
		t.b = &y   //: v = &y; t.1 = v
		keep = t.b //: w = t.1; keep = w
	} //: next
	return keep //: return keep
}
