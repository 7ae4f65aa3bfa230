// Judges an exported log with nothing but golang.org/x/mod: judge DIR VKEY [PROOF]. Exit code 1 and the number of the
// first wrong entry when there is one.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// Opens a checkpoint and returns its tree.
func open(msg []byte, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	n, err := note.Open(msg, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(n.Text, "\n")
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("the origin is %q", lines[0]))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	hash, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: hash}
}

type tiles string

func (d tiles) Height() int { return 8 }

// Our paths have no height, as in C2SP tlog-tiles.
func (d tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range want {
		data, err := os.ReadFile(filepath.Join(string(d), "tile", strings.TrimPrefix(t.Path(), "tile/8/")))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (d tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func proof(path, vkey string, leaf []byte) {
	text, err := os.ReadFile(path)
	check(err)
	head, checkpoint, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		check(fmt.Errorf("no proof: %q", lines[0]))
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	check(err)
	var hashes tlog.RecordProof
	for _, line := range lines[2:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		check(err)
		var hash tlog.Hash
		copy(hash[:], raw)
		hashes = append(hashes, hash)
	}
	tree := open([]byte(checkpoint), vkey)
	check(tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(leaf)))
	fmt.Printf("proved %d of %d\n", index, tree.N)
}

func main() {
	dir, vkey := os.Args[1], os.Args[2]
	msg, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	check(err)
	tree := open(msg, vkey)
	reader := tlog.TileHashReader(tree, tiles(dir))
	// The same tree made anew: the reader leaves some tiles unproven where several subtrees end in one.
	var made []tlog.Hash
	stored := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var all []tlog.Hash
		for _, n := range indexes {
			all = append(all, made[n])
		}
		return all, nil
	})
	for first := int64(0); first < tree.N; first += 256 {
		width := tree.N - first
		if width > 256 {
			width = 256
		}
		path := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(width)}.Path()
		path = "entries" + strings.TrimPrefix(path, "tile/8/0")
		bundle, err := os.ReadFile(filepath.Join(dir, "tile", path))
		check(err)
		var index []int64
		for n := int64(0); n < width; n++ {
			index = append(index, tlog.StoredHashIndex(0, first+n))
		}
		hashes, err := reader.ReadHashes(index)
		check(err)
		for n := int64(0); n < width; n++ {
			size := int(binary.BigEndian.Uint16(bundle))
			leaf := bundle[2 : 2+size]
			bundle = bundle[2+size:]
			if tlog.RecordHash(leaf) != hashes[n] {
				check(fmt.Errorf("entry %d is not what was logged", first+n))
			}
			news, err := tlog.StoredHashes(first+n, leaf, stored)
			check(err)
			made = append(made, news...)
			if len(os.Args) > 3 && strings.HasSuffix(os.Args[3], fmt.Sprintf(".%d", first+n)) {
				proof(os.Args[3], vkey, leaf)
			}
		}
		if len(bundle) != 0 {
			check(fmt.Errorf("%d bytes too many behind entry %d", len(bundle), first+width-1))
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	check(err)
	if root != tree.Hash {
		check(fmt.Errorf("these entries are not the tree that was signed"))
	}
	fmt.Printf("good %d\n", tree.N)
}
