// Referee checks a Counterfoil log with the code that Go keeps for its own checksum database, golang.org/x/mod/sumdb:
// whoever wrote the log wrote none of what decides here. The formats are in docs/reference/log.md.
//
//	referee log [-head FILE]... [-quorum N] FOLDER LOG-KEY [WITNESS-KEY...]
//	referee receipt [-entry HEX] [-quorum N] FILE LOG-KEY [WITNESS-KEY...]
//	referee growth OLD NEW PROOF LOG-KEY
//	referee files SIZE
//
// log reads a folder of static files: its checkpoint, every tile and entry, and every head that is kept there or given by
// -head (a checkpoint, or a file of heads). receipt reads a tlog-proof; without -entry the entry is worked out from the
// opening in it. growth reads two checkpoints and the hashes of a consistency proof, one a line in base64. files names the
// files of a tree of that size, for whoever has to fetch them.
//
// Exit code 0: everything holds. 1: refused, and the first word after "refused by" is the function that did it.
// 2: it could not be checked.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height      = 8   // of a C2SP tile: 256 hashes
	samples     = 100 // records of which inclusion is proven one by one, beside all hashes
	cosignature = 4   // the algorithm of a witness's key
)

// refusal is an answer of no: what was looked at, and which function would not have it.
type refusal struct {
	by, what string
	err      error
}

func (r *refusal) Error() string { return fmt.Sprintf("refused by %s (%s): %v", r.by, r.what, r.err) }

func refuse(by, what string, err error) error {
	if err == nil {
		return nil
	}
	return &refusal{by, what, err}
}

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	var no *refusal
	if errors.As(err, &no) {
		os.Exit(1)
	}
	os.Exit(2)
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: referee log|receipt|growth|files ...")
	}
	if args[0] == "files" && len(args) == 2 {
		return listFiles(args[1])
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var heads []string
	flags.Func("head", "file with one or more heads seen before", func(name string) error {
		heads = append(heads, name)
		return nil
	})
	quorum := flags.Int("quorum", -1, "how many of the witnesses have to have cosigned; without it all")
	entry := flags.String("entry", "", "the entry in hexadecimal digits")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	paths := map[string]int{"log": 1, "receipt": 1, "growth": 3}[args[0]]
	if paths == 0 || flags.NArg() <= paths {
		return errors.New("usage: referee log|receipt|growth ..., and the log's key after the files")
	}
	keys, err := parseKeys(flags.Args()[paths:], *quorum)
	if err != nil {
		return err
	}
	switch args[0] {
	case "log":
		return checkLog(flags.Arg(0), heads, keys)
	case "receipt":
		return checkReceipt(flags.Arg(0), *entry, keys)
	default:
		return checkGrowth(flags.Arg(0), flags.Arg(1), flags.Arg(2), keys)
	}
}

// Keys and heads

type keyring struct {
	log       note.Verifier
	witnesses []note.Verifier
	quorum    int
}

func parseKeys(vkeys []string, quorum int) (*keyring, error) {
	log, err := note.NewVerifier(vkeys[0])
	if err != nil {
		return nil, refuse("note.NewVerifier", "key of the log", err)
	}
	keys := &keyring{log: log, quorum: quorum}
	for _, vkey := range vkeys[1:] {
		witness, err := newWitness(vkey)
		if err != nil {
			return nil, err
		}
		keys.witnesses = append(keys.witnesses, witness)
	}
	if quorum < 0 {
		keys.quorum = len(keys.witnesses)
	}
	return keys, nil
}

// witness is a note.Verifier of C2SP cosignatures, a kind of signature that the checksum database does not have.
type witness struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func newWitness(vkey string) (*witness, error) {
	fields := strings.SplitN(vkey, "+", 3)
	if len(fields) != 3 {
		return nil, fmt.Errorf("%s is not a key", vkey)
	}
	key, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != cosignature {
		return nil, fmt.Errorf("%s is not the key of a witness", vkey)
	}
	sum := sha256.Sum256(append([]byte(fields[0]+"\n"), key...))
	if hex.EncodeToString(sum[:4]) != fields[1] {
		return nil, fmt.Errorf("%s has an id that is not its own", vkey)
	}
	return &witness{fields[0], binary.BigEndian.Uint32(sum[:4]), key[1:]}, nil
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.id }
func (w *witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
	return ed25519.Verify(w.key, []byte(message), signature[8:])
}

// open reads a head that the log has signed, and, when witnessed, at least a quorum of its witnesses.
func (k *keyring) open(what string, data []byte, witnessed bool) (tlog.Tree, error) {
	opened, err := note.Open(data, note.VerifierList(k.log))
	if err != nil {
		return tlog.Tree{}, refuse("note.Open", what, err)
	}
	if witnessed && len(k.witnesses) > 0 {
		both, err := note.Open(data, note.VerifierList(append(k.witnesses, k.log)...))
		if err != nil {
			return tlog.Tree{}, refuse("note.Open", what, err)
		}
		if cosigned := len(both.Sigs) - 1; cosigned < k.quorum {
			return tlog.Tree{}, refuse("quorum", what, fmt.Errorf("%d of the witnesses have cosigned, not %d", cosigned, k.quorum))
		}
	}
	// The checksum database has one log and a fixed first line for it. Ours is its key's name. Any other stays, and is refused.
	text := opened.Text
	if rest, ours := strings.CutPrefix(text, k.log.Name()+"\n"); ours {
		text = "go.sum database tree\n" + rest
	}
	if lines := strings.Count(text, "\n"); lines > 3 {
		return tlog.Tree{}, refuse("lines", what, fmt.Errorf("a head has 3 lines, not %d", lines))
	}
	tree, err := tlog.ParseTree([]byte(text))
	return tree, refuse("tlog.ParseTree", what, err)
}

// A log in a folder

type folder string

// read gives a file of the tree; where a partial file is gone, the full one that grew from it serves.
func (f folder) read(tile tlog.Tile) (data []byte, full bool, err error) {
	data, err = os.ReadFile(filepath.Join(string(f), path(tile)))
	if !errors.Is(err, os.ErrNotExist) || tile.W == 1<<height {
		return data, false, err
	}
	tile.W = 1 << height
	data, err = os.ReadFile(filepath.Join(string(f), path(tile)))
	return data, true, err
}

// path is that of C2SP tlog-tiles: Go's without the height, and "entries" for "data".
func path(tile tlog.Tile) string {
	own := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return strings.Replace(own, "tile/data/", "tile/entries/", 1)
}

func (f folder) Height() int { return height }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, full, err := f.read(tile)
		if err != nil {
			return nil, &unreadable{err}
		}
		if full && len(data) == tlog.HashSize<<height {
			data = data[:tile.W*tlog.HashSize]
		}
		all[i] = data
	}
	return all, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

type unreadable struct{ error }

func (u *unreadable) Unwrap() error { return u.error }

// verdict tells a refusal of Go's from a file that could not be read.
func verdict(by, what string, err error) error {
	var missing *unreadable
	if errors.As(err, &missing) {
		return missing
	}
	return refuse(by, what, err)
}

func checkLog(name string, more []string, keys *keyring) error {
	data, err := os.ReadFile(filepath.Join(name, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := keys.open("checkpoint", data, false)
	if err != nil {
		return err
	}
	fmt.Printf("checkpoint  %d entries, root %v, signed by %s\n", tree.N, tree.Hash, keys.log.Name())
	var hashes tlog.HashReader
	if tree.N > 0 { // of an empty tree there is nothing to read
		hashes = tlog.TileHashReader(tree, folder(name))
	}
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return verdict("tlog.TileHashReader", "tiles", err)
	}
	if root != tree.Hash {
		return refuse("tlog.TreeHash", "tiles", fmt.Errorf("their root is %v", root))
	}
	proven, err := checkEntries(folder(name), tree, hashes)
	if err != nil {
		return err
	}
	fmt.Println("tiles       lead to that root")
	fmt.Printf("entries     %d, each the one that its tile names; %d proven one by one\n", tree.N, proven)
	heads, err := checkHeads(folder(name), more, tree, hashes, keys)
	if err != nil {
		return err
	}
	fmt.Printf("heads       %d, all continued by this one\n", heads)
	return nil
}

// checkEntries reads every tile below the root and every entry, and returns of how many it proved inclusion.
func checkEntries(f folder, tree tlog.Tree, hashes tlog.HashReader) (proven int, err error) {
	step := max(1, tree.N/samples)
	for first := int64(0); first < tree.N; first += 1 << height {
		records, err := checkBundle(f, tree, first>>height, hashes)
		if err != nil {
			return 0, err
		}
		for i, record := range records {
			index := first + int64(i)
			if index%step != 0 && index != tree.N-1 {
				continue
			}
			what := fmt.Sprintf("entry %d", index)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return 0, verdict("tlog.ProveRecord", what, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, record); err != nil {
				return 0, refuse("tlog.CheckRecord", what, err)
			}
			proven++
		}
	}
	return proven, nil
}

// checkBundle reads the tile and the bundle of that number in the tree, and returns the hashes of its entries.
func checkBundle(f folder, tree tlog.Tree, number int64, hashes tlog.HashReader) ([]tlog.Hash, error) {
	first := number << height
	bundle := tlog.Tile{H: height, L: -1, N: number, W: int(min(1<<height, tree.N-first))}
	indexes := make([]int64, bundle.W)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
	}
	leaves, err := hashes.ReadHashes(indexes)
	if err != nil {
		return nil, verdict("tlog.TileHashReader", "tiles", err)
	}
	data, full, err := f.read(bundle)
	if err != nil {
		return nil, &unreadable{err}
	}
	for i, leaf := range leaves {
		what := fmt.Sprintf("entry %d", first+int64(i))
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, refuse("bundle", what, errors.New("cut short"))
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		if record := tlog.RecordHash(data[2:end]); record != leaf {
			return nil, refuse("tlog.RecordHash", what, fmt.Errorf("it is %v, the tile says %v", record, leaf))
		}
		data = data[end:]
	}
	if len(data) > 0 && !full {
		return nil, refuse("bundle", path(bundle), errors.New("bytes after its last entry"))
	}
	return leaves, nil
}

// checkHeads shows that the tree continues every head of the folder, and those that somebody kept elsewhere.
func checkHeads(f folder, more []string, tree tlog.Tree, hashes tlog.HashReader, keys *keyring) (count int, err error) {
	days, err := filepath.Glob(filepath.Join(string(f), "heads", "*"))
	if err != nil {
		return 0, err
	}
	names := append(more, days...)
	witnessedFrom := len(more)
	if newest := filepath.Join(string(f), "witnessed"); exists(newest) {
		names = append(names, newest)
	}
	for i, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		notes, err := split(data)
		if err != nil {
			return 0, refuse("heads", name, err)
		}
		for _, each := range notes {
			old, err := keys.open(name, each, i >= witnessedFrom)
			if err != nil {
				return 0, err
			}
			what := fmt.Sprintf("%s, from %d entries to %d", name, old.N, tree.N)
			if err := checkContinues(what, old, tree, hashes); err != nil {
				return 0, err
			}
			if err := checkOwnFiles(f, old); err != nil {
				return 0, err
			}
			count++
		}
	}
	return count, nil
}

func checkContinues(what string, old, tree tlog.Tree, hashes tlog.HashReader) error {
	if old.N == 0 { // everything continues the empty tree, if it is that
		if empty, _ := tlog.TreeHash(0, nil); old.Hash != empty {
			return refuse("tlog.TreeHash", what, errors.New("an empty tree has another root"))
		}
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return verdict("tlog.ProveTree", what, err)
	}
	return refuse("tlog.CheckTree", what, tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
}

// checkOwnFiles reads the partial files of an older head, which nothing else reads. They may be gone once there are full ones.
func checkOwnFiles(f folder, old tlog.Tree) error {
	if old.N == 0 {
		return nil
	}
	hashes := tlog.TileHashReader(old, f)
	_, err := tlog.TreeHash(old.N, hashes)
	if err != nil {
		err = verdict("tlog.TileHashReader", "tiles", err)
	} else if old.N%(1<<height) > 0 {
		_, err = checkBundle(f, old, old.N>>height, hashes)
	}
	var gone *unreadable
	if errors.As(err, &gone) && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func listFiles(text string) error {
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		return fmt.Errorf("%s is not a size", text)
	}
	for _, tile := range tlog.NewTiles(height, 0, size) {
		fmt.Println(path(tile))
		if tile.L == 0 {
			tile.L = -1 // the entries lie in bundles as wide as the tiles of their hashes
			fmt.Println(path(tile))
		}
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// split gives the notes in a file of heads, each after its length in a line; of any other file all of it as one.
func split(data []byte) (notes [][]byte, err error) {
	for len(data) > 0 {
		line, rest, found := bytes.Cut(data, []byte("\n"))
		size, err := strconv.Atoi(string(line))
		if err != nil && notes == nil {
			return [][]byte{data}, nil
		}
		if err != nil || !found || size < 1 || size > len(rest) {
			return nil, errors.New("not a length and so many bytes")
		}
		notes, data = append(notes, rest[:size]), rest[size:]
	}
	return notes, nil
}

// Receipts and proofs

func checkReceipt(name, entryHex string, keys *keyring) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, checkpoint, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" || len(lines) < 2 {
		return refuse("receipt", name, errors.New("not a tlog-proof"))
	}
	lines = lines[1:]
	extra, opened := strings.CutPrefix(lines[0], "extra ")
	if opened {
		lines = lines[1:]
	}
	var entry []byte
	if entryHex != "" {
		entry, err = hex.DecodeString(entryHex)
	} else {
		entry, err = entryOf(extra)
	}
	if err != nil || len(lines) == 0 {
		return refuse("receipt", name, fmt.Errorf("no entry in it: %v", err))
	}
	number, _ := strings.CutPrefix(lines[0], "index ")
	index, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return refuse("receipt", name, errors.New("no index in it"))
	}
	proof, err := parseHashes(lines[1:])
	if err != nil {
		return refuse("tlog.ParseHash", name, err)
	}
	tree, err := keys.open(name, []byte(checkpoint), true)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return refuse("tlog.CheckRecord", name, err)
	}
	fmt.Printf("entry %d of %d, signed by %s and cosigned by at least %d witnesses\n%x\n", index, tree.N, keys.log.Name(), keys.quorum, entry)
	return nil
}

// entryOf works out the entry that an opening opens: type, role, salt, two hashes of the way up, payload.
func entryOf(extra string) ([]byte, error) {
	opening, err := base64.StdEncoding.DecodeString(extra)
	if err != nil || len(opening) < 2+3*tlog.HashSize || opening[1] < 1 || opening[1] > 4 {
		return nil, errors.New("not an opening")
	}
	role, salt := opening[1], opening[2:34]
	var sibling, uncle tlog.Hash
	copy(sibling[:], opening[34:66])
	copy(uncle[:], opening[66:98])
	view := sha256.Sum256(bytes.Join([][]byte{[]byte("counterfoil/view/v1"), {role}, salt, opening[98:]}, nil))
	node := tlog.RecordHash(view[:])
	if role%2 == 1 {
		node = tlog.NodeHash(node, sibling)
	} else {
		node = tlog.NodeHash(sibling, node)
	}
	if role <= 2 {
		node = tlog.NodeHash(node, uncle)
	} else {
		node = tlog.NodeHash(uncle, node)
	}
	return append([]byte{1, opening[0]}, node[:]...), nil
}

func checkGrowth(oldName, newName, proofName string, keys *keyring) error {
	var trees [2]tlog.Tree
	for i, name := range []string{oldName, newName} {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if trees[i], err = keys.open(name, data, false); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(proofName)
	if err != nil {
		return err
	}
	proof, err := parseHashes(strings.Fields(string(data)))
	if err != nil {
		return refuse("tlog.ParseHash", proofName, err)
	}
	old, tree := trees[0], trees[1]
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return refuse("tlog.CheckTree", proofName, err)
	}
	fmt.Printf("the tree of %d entries continues that of %d\n", tree.N, old.N)
	return nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		hashes[i] = hash
	}
	return hashes, nil
}
