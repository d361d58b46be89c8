// Addresses, copies, dereferences, returns, globals, sizes.
package corpus

var gp *int
var gpp **int
var gs []int
var ga any

func use(p *int) int { //: func use(p) r
	return *p
}

func localOnly() int { //: func localOnly() r
	x := 1    //: local x
	p := &x   //: local p; p = &x
	return *p //: return _
}

func returned() *int { //: func returned() r
	x := 1    //: local x
	return &x //: local t; t = &x; return t
}

func returnedLater() *int { //: func returnedLater() r
	x := 1   //: local x
	p := &x  //: local p; p = &x
	q := p   //: local q; q = p
	return q //: return q
}

func namedResult() (r *int) { //: func namedResult() r
	x := 1 //: local x
	r = &x //: r = &x
	return
}

func returnsValue() int { //: func returnsValue() r
	p := new(int) //: local p; p = new
	*p = 3
	return *p //: local t; t = *p; return t
}

func newReturned() *int { //: func newReturned() r
	p := new(int) //: local p; p = new
	return p      //: return p
}

func newDropped() { //: func newDropped()
	p := new(int) //: local p; p = new
	*p = 1
}

func toGlobal() { //: func toGlobal()
	x := 1  //: local x
	gp = &x //: local t; t = &x; global = t
}

func toGlobalTwice() { //: func toGlobalTwice()
	x := 1   //: local x
	p := &x  //: local p; p = &x
	gpp = &p //: local t; t = &p; global = t
}

func fromGlobal() int { //: func fromGlobal() r
	p := gp   //: local p; p = global
	return *p //: return _
}

func twoLevels() int { //: func twoLevels() r
	x := 1      //: local x
	p := &x     //: local p; p = &x
	pp := &p    //: local pp; pp = &p
	return **pp //: return _
}

func loadsLevel() *int { //: func loadsLevel() r
	x := 1     //: local x
	p := &x    //: local p; p = &x
	pp := &p   //: local pp; pp = &p
	return *pp //: local t; t = *pp; return t
}

func parameterAddress(x int) *int { //: func parameterAddress(x) r
	return &x //: local t; t = &x; return t
}

func parameterKept(x int) int { //: func parameterKept(x) r
	p := &x   //: local p; p = &x
	return *p //: return _
}

func identity(p *int) *int { //: func identity(p) r
	return p //: return p
}

func dereference(pp **int) *int { //: func dereference(pp) r
	return *pp //: local t; t = *pp; return t
}

func leaks(p *int) { //: func leaks(p)
	gp = p //: global = p
}

func leaksContent(pp **int) { //: func leaksContent(pp)
	gp = *pp //: local t; t = *pp; global = t
}

func implicitFits() byte { //: func implicitFits() r
	p := new([65536]byte) //: local p; p = new 65536
	return p[0]           //: return _
}

func implicitTooLarge() byte { //: func implicitTooLarge() r
	p := new([65537]byte) //: local p; p = new 65537
	return p[0]           //: return _
}

func explicitFits() byte { //: func explicitFits() r
	var a [131072]byte //: local a 131072
	p := &a            //: local p; p = &a
	return p[0]        //: return _
}

func explicitTooLarge() byte { //: func explicitTooLarge() r
	var a [131073]byte //: local a 131073
	p := &a            //: local p; p = &a
	return p[0]        //: return _
}

func makeFixed() int { //: func makeFixed() r
	s := make([]int, 10) //: local s; s = new 80
	return s[0]          //: return _
}

func makeUnknown(n int) int { //: func makeUnknown(n) r
	s := make([]int, n) //: local s; s = new ?
	return s[0]         //: return _
}

func makeUnknownKept(n int) []int { //: func makeUnknownKept(n) r
	s := make([]int, n) //: local s; s = new ?
	return s            //: return s
}

func makeUnknownHolds(n int) int { //: func makeUnknownHolds(n) r
	x := 1               //: local x
	s := make([]*int, n) //: local s; s = new ?
	s[0] = &x            //: local t; t = &x; s->2 = t
	return *s[0]         //: return _
}

func boxed(x int) { //: func boxed(x)
	ga = x //: local t; t = new; global = t
}

func boxedLocally(x int) bool { //: func boxedLocally(x) r
	var a any = x //: local a; a = new
	_, ok := a.(int)
	return ok //: return _
}

func cycle() int { //: func cycle() r
	type ring struct{ next *ring }
	var a, b ring //: local a; local b
	a.next = &b   //: local t; t = &b; a.0 = t
	b.next = &a   //: t = &a; b.0 = t
	if a.next.next == &a {
		return 1
	}
	return 0 //: return _
}

func cycleLost() any { //: func cycleLost() r
	type ring struct{ next *ring }
	var a, b ring //: local a; local b
	a.next = &b   //: local t; t = &b; a.0 = t
	b.next = &a   //: t = &a; b.0 = t
	return &a     //: t = &a; return t
}

func either(c bool) *int { //: func either(c) r
	x, y := 1, 2 //: local x; local y
	p := &x      //: local p; p = &x
	if c {
		p = &y //: p = &y
	}
	return p //: return p
}

func oneOfTwo(c bool) *int { //: func oneOfTwo(c) r
	x, y := 1, 2 //: local x; local y
	p := &x      //: local p; p = &x
	q := &y      //: local q; q = &y
	if c {
		*q = 3
	}
	return p //: return p
}

func sent(c chan *int) { //: func sent(c)
	x := 1  //: local x
	c <- &x //: local t; t = &x; global = t
}

func received(c chan *int) int { //: func received(c) r
	p := <-c  //: local p; p = global
	return *p //: return _
}

func panics() { //: func panics()
	x := 1    //: local x
	panic(&x) //: local t; t = &x; global = t
}
