// Marking: forced full collections of a graph.
package main

import (
	"fmt"
	"runtime"
	"time"
)

type node struct {
	edges [2]*node
	word  uint64
}

const lists = 1000

func graph(p parameters) {
	n := p.number("nodes", 2_000_000)
	runtime.GOMAXPROCS(int(p.number("threads", 1)))
	kind, seed := p.word("kind", "random"), p.number("seed", 1)
	if kind == "mixed" {
		roots := buildMixed(n/unitNodes, generator(seed))
		collect(func() uint64 { return walkMixed(roots, n) })
		return
	}
	roots := build(kind, n, seed)
	collect(func() uint64 { return walk(roots, n) })
}

// collect measures five collections; the walk is not.
func collect(walk func() uint64) {
	runtime.GC()
	watch := start()
	for range 5 {
		cpu, wall := cpuTime(), time.Now()
		runtime.GC()
		fmt.Println("collect_ns", time.Since(wall).Nanoseconds())
		fmt.Println("collect_cpu_ns", cpuTime()-cpu)
	}
	watch.stopThen(walk)
}

// build makes the nodes, then their edges, and returns the roots; the table of nodes dies.
func build(kind string, n, seed uint64) []*node {
	random := generator(seed)
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = &node{word: uint64(i)}
	}
	switch kind {
	case "random":
		for _, node := range nodes {
			node.edges[0] = nodes[random.below(n)]
			node.edges[1] = nodes[random.below(n)]
		}
		return append([]*node(nil), nodes[:min(16, n)]...)
	case "tree":
		return linkTree(nodes)
	case "shuffled":
		shuffle(nodes, &random)
		return linkTree(nodes)
	case "lists":
		shuffle(nodes, &random)
		for j := lists; j < len(nodes); j++ {
			nodes[j-lists].edges[0] = nodes[j]
		}
		return append([]*node(nil), nodes[:min(lists, n)]...)
	}
	fail("unknown kind of graph: " + kind)
	return nil
}

// linkTree makes the nodes a complete tree in the order in which they stand.
func linkTree(nodes []*node) []*node {
	for i := 1; i < len(nodes); i++ {
		nodes[(i-1)/2].edges[(i-1)%2] = nodes[i]
	}
	return []*node{nodes[0]}
}

func shuffle(nodes []*node, random *generator) {
	for i := len(nodes) - 1; i > 0; i-- {
		j := random.below(uint64(i) + 1)
		nodes[i], nodes[j] = nodes[j], nodes[i]
	}
}

// walk finds what the roots reach, and makes a number of it.
func walk(roots []*node, n uint64) uint64 {
	seen := make([]uint64, n/64+1)
	reached, words := uint64(0), uint64(0)
	stack := append([]*node(nil), roots...)
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if top == nil || seen[top.word/64]>>(top.word%64)&1 == 1 {
			continue
		}
		seen[top.word/64] |= 1 << (top.word % 64)
		reached++
		words ^= top.word
		stack = append(stack, top.edges[0], top.edges[1])
	}
	return reached*31 + words
}
