// Stores through pointers, here and in callees.
package corpus

type T struct{ a, b *int }

var gp *int
var gt *T

// differs: p points to the local t and to nothing else.
func throughLocal() int { //: func throughLocal() r
	x := 1 //: local x; local t; local p; local u
	t := T{}
	p := &t     //: p = &t
	p.a = &x    //: u = &x; p->0 = u
	return *t.a //: return _
}

// differs: the object is new, local, and holds what it is given.
func throughNew() int { //: func throughNew() r
	x := 1      //: local x; local u
	p := new(T) //: local p; p = new
	p.a = &x    //: u = &x; p->0 = u
	return *p.a //: return _
}

func throughNewReturned() *T { //: func throughNewReturned() r
	x := 1      //: local x; local u
	p := new(T) //: local p; p = new
	p.a = &x    //: u = &x; p->0 = u
	return p    //: return p
}

// differs: q is a plain local.
func starLocal() int { //: func starLocal() r
	x := 1 //: local x; local u; local q
	var q *int
	pp := &q  //: local pp; pp = &q
	*pp = &x  //: u = &x; *pp = u
	return *q //: return _
}

func starLocalReturned() *int { //: func starLocalReturned() r
	x := 1 //: local x; local u; local q
	var q *int
	pp := &q //: local pp; pp = &q
	*pp = &x //: u = &x; *pp = u
	return q //: return q
}

func throughParameter(t *T) { //: func throughParameter(t)
	x := 1   //: local x; local u
	t.a = &x //: u = &x; t->0 = u
}

func setter(t *T, p *int) { //: func setter(t, p)
	t.a = p //: t->0 = p
}

// differs: the setter's summary says into whose memory the value goes.
func callsSetter() int { //: func callsSetter() r
	x := 1 //: local x; local t; local p; local u
	t := T{}
	setter(&t, &x) //: p = &t; u = &x; setter(p, u)
	return *t.a    //: return _
}

func callsSetterReturned() T { //: func callsSetterReturned() r
	x := 1 //: local x; local t; local p; local u
	t := T{}
	setter(&t, &x) //: p = &t; u = &x; setter(p, u)
	return t       //: return t
}

func callsSetterGlobal() { //: func callsSetterGlobal()
	x := 1         //: local x; local p; local u
	setter(gt, &x) //: p = global; u = &x; setter(p, u)
}

func setterThrough(t *T, p *int) { //: func setterThrough(t, p)
	setter(t, p) //: setter(t, p)
}

// differs: two calls deep it is the same.
func callsSetterThrough() int { //: func callsSetterThrough() r
	x := 1 //: local x; local t; local p; local u
	t := T{}
	setterThrough(&t, &x) //: p = &t; u = &x; setterThrough(p, u)
	return *t.a           //: return _
}

// differs: a builder that returns itself keeps what it is given within its own object.
func builder() int { //: func builder() r
	x, y := 1, 2 //: local x; local y; local t; local p; local q; local u; local v
	t := T{}
	with(&t, &x) //: p = &t; u = &x; q = with(p, u)
	with(&t, &y) //: v = &y; q = with(q, v)
	return *t.a  //: return _
}

func with(t *T, p *int) *T { //: func with(t, p) r
	t.b = p  //: t->1 = p
	return t //: return t
}

func builderReturned() *T { //: func builderReturned() r
	x := 1            //: local x; local p; local u; local q
	t := &T{}         //: local t; t = new
	p := &x           //: u = &x
	return with(t, p) //: q = with(t, u); return q
}

func swap(p, q **int) { //: func swap(p, q)
	t := *p //: local t; t = *p
	u := *q //: local u; u = *q
	*p = u  //: *p = u
	*q = t  //: *q = t
}

// differs: what is swapped stays in the two variables.
func callsSwap() int { //: func callsSwap() r
	x, y := 1, 2   //: local x; local y; local p; local q; local t; local u
	p, q := &x, &y //: p = &x; q = &y
	swap(&p, &q)   //: t = &p; u = &q; swap(t, u)
	return *p - *q //: return _
}

func callsSwapReturned() *int { //: func callsSwapReturned() r
	x, y := 1, 2   //: local x; local y; local p; local q; local t; local u
	p, q := &x, &y //: p = &x; q = &y
	swap(&p, &q)   //: t = &p; u = &q; swap(t, u)
	return p       //: return p
}

// differs: an output parameter is a local of the caller.
func outParameter() int { //: func outParameter() r
	x := 1 //: local x; local p; local t; local u
	var p *int
	find(&x, &p) //: t = &x; u = &p; find(t, u)
	return *p    //: return _
}

func find(x *int, out **int) { //: func find(x, out)
	*out = x //: *out = x
}

func fresh(out **int) { //: func fresh(out)
	x := 1    //: local x; local t
	*out = &x //: t = &x; *out = t
}

func callsFresh() int { //: func callsFresh() r
	var p *int //: local p; local t
	fresh(&p)  //: t = &p; fresh(t)
	return *p  //: return _
}

// differs: an array's elements are stored through a slice of a local array.
func sliceOfArray() int { //: func sliceOfArray() r
	x := 1 //: local x; local a; local u
	var a [2]*int
	s := a[:]    //: local s; s = &a
	s[0] = &x    //: u = &x; s->2 = u
	return *a[0] //: return _
}

// differs: the slice is made here, and nobody keeps it.
func makeHolds() int { //: func makeHolds() r
	x := 1               //: local x; local u
	s := make([]*int, 2) //: local s; s = new 16
	s[1] = &x            //: u = &x; s->2 = u
	return *s[1]         //: return _
}

func mapHolds(m map[int]*int) { //: func mapHolds(m)
	x := 1    //: local x; local u
	m[0] = &x //: u = &x; global = u
}

// differs: a and b may be one object only if the caller says so, and here nothing is kept.
func aliased() int { //: func aliased() r
	x := 1 //: local x; local t; local p; local u; local w
	t := T{}
	p := &t        //: p = &t
	both(p, p, &x) //: u = &x; w = both(p, p, u)
	return *t.a    //: return _
}

func both(s, t *T, p *int) *int { //: func both(s, t, p) r
	s.a = p    //: s->0 = p
	return t.a //: local w; w = t->0; return w
}

func aliasedReturned() *int { //: func aliasedReturned() r
	x := 1 //: local x; local t; local p; local u; local w
	t := T{}
	p := &t               //: p = &t
	return both(p, p, &x) //: u = &x; w = both(p, p, u); return w
}

// differs: the second of two objects leaks, the first does not.
func oneLeaks() int { //: func oneLeaks() r
	x, y := 1, 2 //: local x; local y; local u; local v
	s := &T{}    //: local s; s = new
	t := &T{}    //: local t; t = new
	s.a = &x     //: u = &x; s->0 = u
	t.a = &y     //: v = &y; t->0 = v
	gt = t       //: global = t
	return *s.a  //: return _
}
