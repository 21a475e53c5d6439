/*
 * murmur2.go
 *		The hash by which Kafka's Java client chooses a partition.
 *
 * sarama has no partitioner of that kind, but takes a hash.Hash32 for one.
 * kafka-go and confluent-kafka-go bring their own, so the test has three
 * implementations to agree with besides the values taken from Java.
 */
package main

import (
	"encoding/binary"
	"hash"
)

/* murmur2Hash is a hash.Hash32; the sum needs the whole length first, so it keeps the bytes. */
type murmur2Hash struct {
	data []byte
}

func newMurmur2() hash.Hash32 {
	return &murmur2Hash{}
}

func (h *murmur2Hash) Write(p []byte) (int, error) {
	h.data = append(h.data, p...)
	return len(p), nil
}

func (h *murmur2Hash) Reset()         { h.data = h.data[:0] }
func (h *murmur2Hash) Size() int      { return 4 }
func (h *murmur2Hash) BlockSize() int { return 4 }

func (h *murmur2Hash) Sum(b []byte) []byte {
	var sum [4]byte

	binary.BigEndian.PutUint32(sum[:], h.Sum32())
	return append(b, sum[:]...)
}

/* 32-bit MurmurHash2 with Kafka's seed. */
func (h *murmur2Hash) Sum32() uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)

	sum := uint32(seed) ^ uint32(len(h.data))
	rest := h.data
	for ; len(rest) >= 4; rest = rest[4:] {
		k := binary.LittleEndian.Uint32(rest) * m
		k = (k ^ k>>r) * m
		sum = sum*m ^ k
	}
	for i := len(rest) - 1; i >= 0; i-- {
		sum ^= uint32(rest[i]) << (8 * i)
	}
	if len(rest) > 0 {
		sum *= m
	}
	sum = (sum ^ sum>>13) * m
	return sum ^ sum>>15
}
