// Parameters, results, recursion, interfaces, function values.
package corpus

type T struct{ a, b, c *int }

var gp *int
var gt *T
var gf func(*int)

func read(p *int) int { //: func read(p) r
	return *p //: return _
}

func callsRead() int { //: func callsRead() r
	x := 1          //: local x
	return read(&x) //: local t; t = &x; _ = read(t)
}

func keep(p *int) { //: func keep(p)
	gp = p //: global = p
}

func callsKeep() { //: func callsKeep()
	x := 1   //: local x
	keep(&x) //: local t; t = &x; keep(t)
}

func keepsThrough(p *int) { //: func keepsThrough(p)
	keep(p) //: keep(p)
}

func callsKeepsThrough() { //: func callsKeepsThrough()
	x := 1           //: local x
	keepsThrough(&x) //: local t; t = &x; keepsThrough(t)
}

func id(p *int) *int { //: func id(p) r
	return p //: return p
}

func idKept() int { //: func idKept() r
	x := 1      //: local x
	p := id(&x) //: local t; t = &x; local p; p = id(t)
	return *p   //: return _
}

func idReturned() *int { //: func idReturned() r
	x := 1        //: local x
	return id(&x) //: local t; t = &x; local p; p = id(t); return p
}

func second(p, q *int) *int { //: func second(p, q) r
	return q //: return q
}

func onlySecond() *int { //: func onlySecond() r
	x, y := 1, 2          //: local x; local y
	return second(&x, &y) //: local t; t = &x; local u; u = &y; local p; p = second(t, u); return p
}

func star(pp **int) *int { //: func star(pp) r
	return *pp //: local t; t = *pp; return t
}

func starReturned() *int { //: func starReturned() r
	x := 1          //: local x
	p := &x         //: local p; p = &x
	return star(&p) //: local t; t = &p; local u; u = star(t); return u
}

func six(a, b, c, d, e, f *int) (*int, *int, *int, *int, *int, *int) { //: func six(a, b, c, d, e, f) r0, r1, r2, r3, r4, r5
	return a, b, c, d, e, f //: return a, b, c, d, e, f
}

// differs: the sixth result is beyond the five of Go's tags, which let it escape.
func callsSix() int { //: func callsSix() r
	x, y := 1, 2                                    //: local x; local y
	_, _, _, _, a, b := six(&x, &x, &x, &x, &x, &y) //: local t; t = &x; local u; u = &y; local a; local b; _, _, _, _, a, b = six(t, t, t, t, t, u)
	return *a + *b                                  //: return _
}

func sixReturned() *int { //: func sixReturned() r
	x, y := 1, 2                                    //: local x; local y
	_, _, _, _, _, b := six(&x, &x, &x, &x, &x, &y) //: local t; t = &x; local u; u = &y; local b; _, _, _, _, _, b = six(t, t, t, t, t, u)
	return b                                        //: return b
}

// differs: five results are not enough for Go here either.
func callsSeven() int { //: func callsSeven() r
	x := 1                           //: local x
	_, _, _, _, _, _, g := seven(&x) //: local t; t = &x; local g; _, _, _, _, _, _, g = seven(t)
	return *g                        //: return _
}

func seven(p *int) (a, b, c, d, e, f, g *int) { //: func seven(p) a, b, c, d, e, f, g
	g = p //: g = p
	return
}

func recursive(p *int, n int) int { //: func recursive(p, n) r
	if n == 0 {
		return *p //: return _
	}
	x := n                    //: local x
	return recursive(&x, n-1) //: local t; t = &x; _ = recursive(t, _)
}

func recursiveKeeps(p *int, n int) int { //: func recursiveKeeps(p, n) r
	if n == 0 {
		gp = p //: global = p
		return 0
	}
	x := n                         //: local x
	return recursiveKeeps(&x, n-1) //: local t; t = &x; _ = recursiveKeeps(t, _)
}

func recursiveReturns(p *int, n int) *int { //: func recursiveReturns(p, n) r
	if n == 0 {
		return p //: return p
	}
	x := n                           //: local x
	return recursiveReturns(&x, n-1) //: local t; t = &x; local u; u = recursiveReturns(t, _); return u
}

func ping(p *int, n int) int { //: func ping(p, n) r
	if n == 0 {
		return *p //: return _
	}
	x := n               //: local x
	return pong(&x, n-1) //: local t; t = &x; _ = pong(t, _)
}

func pong(p *int, n int) int { //: func pong(p, n) r
	y := *p              //: local y
	return ping(&y, n-1) //: local t; t = &y; _ = ping(t, _)
}

type I interface{ m(p *int) *int }
type A struct{}
type B struct{}

func (A) m(p *int) *int { //: func A.m(s, p) r
	return nil //: return _
}

func (B) m(p *int) *int { //: func B.m(s, p) r
	return p //: return p
}

// differs: all that implements the interface is known to us, and none of it keeps the argument.
func interfaceKnown(i I) int { //: func interfaceKnown(i) r
	x := 1       //: local x
	p := i.m(&x) //: local t; t = &x; local p; p = A.m|B.m(i, t)
	if p == nil {
		return 0
	}
	return *p //: return _
}

func interfaceUnknown(i I) int { //: func interfaceUnknown(i) r
	x := 1       //: local x
	p := i.m(&x) //: local t; t = &x; local p; p = ?(i, t)
	return *p    //: return _
}

func interfaceKnownReturned(i I) *int { //: func interfaceKnownReturned(i) r
	x := 1         //: local x
	return i.m(&x) //: local t; t = &x; local p; p = A.m|B.m(i, t); return p
}

type K interface{ k(p *int) }
type K1 struct{}
type K2 struct{}

func (K1) k(p *int) { //: func K1.k(s, p)
	gp = p //: global = p
}

func (K2) k(p *int) { //: func K2.k(s, p)
	*p = 1
}

func interfaceOneKeeps(i K) { //: func interfaceOneKeeps(i)
	x := 1  //: local x
	i.k(&x) //: local t; t = &x; K1.k|K2.k(i, t)
}

// differs: the two known implementations write to a number, no more.
func interfaceReads(i J) { //: func interfaceReads(i)
	x := 1  //: local x
	i.j(&x) //: local t; t = &x; J1.j|J2.j(i, t)
}

type J interface{ j(p *int) }
type J1 struct{}
type J2 struct{}

func (J1) j(p *int) { //: func J1.j(s, p)
	*p = 1
}

func (J2) j(p *int) { //: func J2.j(s, p)
	*p = 2
}

func callsParameter(f func(*int)) { //: func callsParameter(f)
	x := 1 //: local x
	f(&x)  //: local t; t = &x; *f(t)
}

func callsGlobal() { //: func callsGlobal()
	x := 1 //: local x
	gf(&x) //: local t; t = &x; local f; f = global; *f(t)
}

func functionValue() int { //: func functionValue() r
	f := read    //: local f; f = func read
	x := 1       //: local x
	return f(&x) //: local t; t = &x; _ = *f(t)
}

func functionValueOfTwo(c bool) { //: func functionValueOfTwo(c)
	f := write1 //: local f; f = func write1
	if c {
		f = write2 //: f = func write2
	}
	x := 1 //: local x
	f(&x)  //: local t; t = &x; *f(t)
}

func write1(p *int) { //: func write1(p)
	*p = 1
}

func write2(p *int) { //: func write2(p)
	*p = 2
}

// differs: the function is found in the field, which holds nothing else.
func functionInField() { //: func functionInField()
	type box struct{ f func(*int) }
	b := box{f: write1} //: local b; local g; g = func write1; b.0 = g
	x := 1              //: local x
	b.f(&x)             //: local t; t = &x; local f; f = b.0; *f(t)
}

func allocates() *T { //: func allocates() r
	return &T{} //: local t; t = new; return t
}

func callsAllocates() *int { //: func callsAllocates() r
	t := allocates() //: local t; t = allocates()
	return t.a       //: local u; u = t->0; return u
}

func fillsUnknown() { //: func fillsUnknown()
	x := 1           //: local x
	t := allocates() //: local t; t = allocates()
	t.a = &x         //: local u; u = &x; t->0 = u
}

func deferred() { //: func deferred()
	x := 1           //: local x
	defer keeper(&x) //: local t; t = &x; defer keeper(t)
}

func keeper(p *int) { //: func keeper(p)
	*p = 2
}

func deferredKeeps() { //: func deferredKeeps()
	x := 1         //: local x
	defer keep(&x) //: local t; t = &x; defer keep(t)
}

func spawned() { //: func spawned()
	x := 1        //: local x
	go keeper(&x) //: local t; t = &x; go keeper(t)
}
