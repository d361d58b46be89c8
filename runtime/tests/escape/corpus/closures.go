// Closures: captures by value and by reference, who calls them, where they go.
package corpus

var gf func()
var gp *int

func call(f func()) { //: func call(f)
	f() //: *f()
}

func keepFunc(f func()) { //: func keepFunc(f)
	gf = f //: global = f
}

func calledHere() int { //: func calledHere() r
	x := 1        //: local x
	f := func() { //: local f; begin c1()[&x]
		x++
	} //: end f
	f()      //: *f()
	return x //: return _
}

func passedDown() int { //: func passedDown() r
	x := 1        //: local x
	f := func() { //: local f; begin c2()[&x]
		x++
	} //: end f
	call(f)  //: call(f)
	return x //: return _
}

func kept() int { //: func kept() r
	x := 1        //: local x
	f := func() { //: local f; begin c3()[&x]
		x++
	} //: end f
	keepFunc(f) //: keepFunc(f)
	return x    //: return _
}

func returnedClosure() func() int { //: func returnedClosure() r
	x := 1              //: local x
	return func() int { //: local f; begin c4()[&x] r
		x++
		return x //: return _
	} //: end f; return f
}

func capturedValue(p *int) func() int { //: func capturedValue(p) r
	return func() int { //: local f; begin c5()[p] r
		return *p //: return _
	} //: end f; return f
}

func capturedValueKept() func() int { //: func capturedValueKept() r
	x := 1                   //: local x
	return capturedValue(&x) //: local t; t = &x; local f; f = capturedValue(t); return f
}

func writesOut() *int { //: func writesOut() r
	var p *int    //: local p
	f := func() { //: local f; begin c6()[&p]
		y := 2 //: local y
		p = &y //: local t; t = &y; *p = t
	} //: end f
	f()      //: *f()
	return p //: return p
}

func writesOutKept() int { //: func writesOutKept() r
	var p *int    //: local p
	f := func() { //: local f; begin c7()[&p]
		y := 2 //: local y
		p = &y //: local t; t = &y; *p = t
	} //: end f
	f()       //: *f()
	return *p //: return _
}

func writesIn() int { //: func writesIn() r
	x := 1        //: local x
	var p *int    //: local p
	f := func() { //: local f; begin c8()[&p, &x]
		p = &x //: local t; t = x; *p = t
	} //: end f
	f()       //: *f()
	return *p //: return _
}

func givesCaptured() int { //: func givesCaptured() r
	x := 1             //: local x
	f := func() *int { //: local f; begin c9()[&x] r
		return &x //: return x
	} //: end f
	p := f()  //: local p; p = *f()
	return *p //: return _
}

func givesCapturedOut() *int { //: func givesCapturedOut() r
	x := 1             //: local x
	f := func() *int { //: local f; begin c10()[&x] r
		return &x //: return x
	} //: end f
	return f() //: local p; p = *f(); return p
}

func takesParameter() int { //: func takesParameter() r
	x := 1                  //: local x
	f := func(p *int) int { //: local f; begin c11(p)[] r
		return *p //: return _
	} //: end f
	return f(&x) //: local t; t = &x; _ = *f(t)
}

func parameterKept() { //: func parameterKept()
	x := 1              //: local x
	f := func(p *int) { //: local f; begin c12(p)[]
		gp = p //: global = p
	} //: end f
	f(&x) //: local t; t = &x; *f(t)
}

func parameterStored() int { //: func parameterStored() r
	x := 1              //: local x
	var q *int          //: local q
	f := func(p *int) { //: local f; begin c13(p)[&q]
		q = p //: *q = p
	} //: end f
	f(&x)     //: local t; t = &x; *f(t)
	return *q //: return _
}

func parameterStoredOut() *int { //: func parameterStoredOut() r
	x := 1              //: local x
	var q *int          //: local q
	f := func(p *int) { //: local f; begin c14(p)[&q]
		q = p //: *q = p
	} //: end f
	f(&x)    //: local t; t = &x; *f(t)
	return q //: return q
}

func nested() int { //: func nested() r
	x := 1        //: local x
	f := func() { //: local f; begin c15()[&x]
		g := func() { //: local g; begin c16()[x]
			x++
		} //: end g
		g() //: *g()
	} //: end f
	f()      //: *f()
	return x //: return _
}

func nestedKept() int { //: func nestedKept() r
	x := 1        //: local x
	f := func() { //: local f; begin c17()[&x]
		g := func() { //: local g; begin c18()[x]
			x++
		} //: end g
		gf = g //: global = g
	} //: end f
	f()      //: *f()
	return x //: return _
}

func deferredClosure() int { //: func deferredClosure() r
	x := 1         //: local x
	defer func() { //: local f; begin c19()[&x]
		x++
	}() //: end f; defer *f()
	return x //: return _
}

func deferredInLoop(n int) int { //: func deferredInLoop(n) r
	x := 1                   //: local x
	for i := 0; i < n; i++ { //: loop
		defer func() { //: local f; begin c20()[&x]
			x++
		}() //: end f; defer *f()
	} //: next
	return x //: return _
}

func spawnedClosure() int { //: func spawnedClosure() r
	x := 1      //: local x
	go func() { //: local f; begin c21()[&x]
		x++
	}() //: end f; go *f()
	return x //: return _
}

func recursiveClosure(n int) int { //: func recursiveClosure(n) r
	var f func(int) int   //: local f
	f = func(n int) int { //: begin c22(n)[&f] r
		if n == 0 {
			return 1 //: return _
		}
		return f(n - 1) //: local g; g = *f; _ = *g(_)
	} //: end f
	return f(n) //: _ = *f(_)
}

func closureOfTwo(c bool) int { //: func closureOfTwo(c) r
	x := 1              //: local x
	f := func(p *int) { //: local f; begin c23(p)[]
		*p = 1
	} //: end f
	if c {
		f = func(p *int) { //: begin c24(p)[]
			*p = 2
		} //: end f
	}
	f(&x)    //: local t; t = &x; *f(t)
	return x //: return _
}

func apply(f func(*int) *int, p *int) *int { //: func apply(f, p) r
	return f(p) //: local t; t = *f(p); return t
}

// differs: what an unknown function returns is what it captured, which stays here.
func callsApply() int { //: func callsApply() r
	x := 1                   //: local x
	y := 2                   //: local y
	f := func(p *int) *int { //: local f; begin c25(p)[&y] r
		return &y //: return y
	} //: end f
	q := apply(f, &x) //: local t; t = &x; local q; q = apply(f, t)
	return *q         //: return _
}

func loopCapture(n int) int { //: func loopCapture(n) r
	s := 0                   //: local s
	for i := 0; i < n; i++ { //: loop; local i
		f := func() { //: local f; begin c26()[&s, i]
			s += i
		} //: end f
		f() //: *f()
	} //: next
	return s //: return _
}

func loopKeepsLast(n int) { //: func loopKeepsLast(n)
	var last func()          //: local last
	for i := 0; i < n; i++ { //: loop; local i
		last = func() { //: begin c27()[&i]
			i++
		} //: end last
	} //: next
	last() //: *last()
}
