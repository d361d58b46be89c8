// Loops, and slots that are used again.
package corpus

type N struct{ next *N }

var gp *int

func inside(n int) int { //: func inside(n) r
	s := 0
	for i := 0; i < n; i++ { //: loop
		x := i  //: local x
		p := &x //: local p; p = &x
		s += *p
	} //: next
	return s //: return _
}

func outOfRound(n int) int { //: func outOfRound(n) r
	var p *int               //: local p
	for i := 0; i < n; i++ { //: loop
		x := i //: local x
		p = &x //: p = &x
	} //: next
	return *p //: return _
}

func newOutOfRound(n int) int { //: func newOutOfRound(n) r
	var p *int               //: local p
	for i := 0; i < n; i++ { //: loop
		p = new(int) //: p = new
	} //: next
	return *p //: return _
}

func newInRound(n int) int { //: func newInRound(n) r
	s := 0
	for i := 0; i < n; i++ { //: loop
		p := new(int) //: local p; p = new
		s += *p
	} //: next
	return s //: return _
}

func outerIntoRound(n int) int { //: func outerIntoRound(n) r
	x := 1                   //: local x
	for i := 0; i < n; i++ { //: loop
		p := &x //: local p; p = &x
		*p++
	} //: next
	return x //: return _
}

func twoRounds(n int) int { //: func twoRounds(n) r
	s := 0
	for i := 0; i < n; i++ { //: loop
		var p *int               //: local p
		for j := 0; j < n; j++ { //: loop
			x := j //: local x
			p = &x //: p = &x
		} //: next
		s += *p
	} //: next
	return s //: return _
}

func sameDepth(n int) int { //: func sameDepth(n) r
	s := 0
	for i := 0; i < n; i++ { //: loop
		x := i   //: local x
		p := &x  //: local p; p = &x
		pp := &p //: local pp; pp = &p
		s += **pp
	} //: next
	return s //: return _
}

func throughCall(n int) int { //: func throughCall(n) r
	var p *int               //: local p
	for i := 0; i < n; i++ { //: loop
		x := i       //: local x
		p = pass(&x) //: local t; t = &x; p = pass(t)
	} //: next
	return *p //: return _
}

func pass(p *int) *int { //: func pass(p) r
	return p //: return p
}

func throughCallInside(n int) int { //: func throughCallInside(n) r
	s := 0
	for i := 0; i < n; i++ { //: loop
		x := i        //: local x
		p := pass(&x) //: local t; t = &x; local p; p = pass(t)
		s += *p
	} //: next
	return s //: return _
}

func listInLoop(n int) int { //: func listInLoop(n) r
	var head *N              //: local head
	for i := 0; i < n; i++ { //: loop
		m := &N{}     //: local m; m = new
		m.next = head //: m->0 = head
		head = m      //: head = m
	} //: next
	s := 0
	for ; head != nil; head = head.next { //: loop; local t; t = head->0; head = t
		s++
	} //: next
	return s //: return _
}

func listByHand() int { //: func listByHand() r
	a := &N{}  //: local a; a = new
	b := &N{a} //: local b; b = new; b->0 = a
	c := &N{b} //: local c; c = new; c->0 = b
	s := 0
	for p := c; p != nil; p = p.next { //: local p; p = c; loop; local t; t = p->0; p = t
		s++
	} //: next
	return s //: return _
}

func sliceInLoop(n int) int { //: func sliceInLoop(n) r
	s := 0
	for i := 0; i < n; i++ { //: loop
		b := make([]int, 8) //: local b; b = new 64
		s += b[0]
	} //: next
	return s //: return _
}

func sliceKept(n int) int { //: func sliceKept(n) r
	var b []int              //: local b
	for i := 0; i < n; i++ { //: loop
		b = make([]int, 8) //: b = new 64
	} //: next
	return b[0] //: return _
}

func gotoLoop(n int) int { //: func gotoLoop(n) r
	var p *int //: local p
again: //: loop
	x := new(int) //: local x; x = new
	p = x         //: p = x
	n--
	if n > 0 {
		goto again
	} //: next
	return *p //: return _
}

func rangeLoop(xs []*int) int { //: func rangeLoop(xs) r
	s := 0
	for _, x := range xs { //: loop; local x; x = xs->2
		s += *x
	} //: next
	return s //: return _
}

func rangeKeeps(xs []*int) { //: func rangeKeeps(xs)
	for _, x := range xs { //: loop; local x; x = xs->2
		gp = x //: global = x
	} //: next
}

func callsRangeLoop() int { //: func callsRangeLoop() r
	x := 1              //: local x
	a := []*int{&x}     //: local a; a = new; local t; t = &x; a->2 = t
	return rangeLoop(a) //: _ = rangeLoop(a)
}

func callsRangeKeeps() { //: func callsRangeKeeps()
	x := 1          //: local x
	a := []*int{&x} //: local a; a = new; local t; t = &x; a->2 = t
	rangeKeeps(a)   //: rangeKeeps(a)
}
