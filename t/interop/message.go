/*
 * message.go
 *		Messages as JSON lines.
 *
 * Keys, values and header values are base64, so that any bytes pass; JSON's null
 * is Kafka's null and the empty string is empty bytes. Go's encoding/json does
 * just that with a []byte, nil and empty.
 */
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

/* A header of a message; a name may come more than once. */
type header struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

/* A message to write, or as it was read. */
type message struct {
	Partition *int32   `json:"partition,omitempty"` /* absent: by the key */
	Offset    *int64   `json:"offset,omitempty"`    /* only when read */
	Timestamp *int64   `json:"timestamp,omitempty"` /* ms since 1970; absent: now */
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
}

/* Where a message went. */
type placement struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

/* The line that says that a consumer has found its start. */
type readyLine struct {
	Ready bool `json:"ready"`
}

/* A message as a client delivered it. */
func received(partition int32, offset int64, t time.Time, key, value []byte) message {
	ms := t.UnixMilli()

	return message{
		Partition: &partition,
		Offset:    &offset,
		Timestamp: &ms,
		Key:       key,
		Value:     value,
		Headers:   []header{},
	}
}

/* The message's own time; the zero time, which every client takes as now, without one. */
func (m *message) time() time.Time {
	if m.Timestamp == nil {
		return time.Time{}
	}
	return time.UnixMilli(*m.Timestamp)
}

func readMessages(r io.Reader) ([]message, error) {
	var messages []message

	decoder := json.NewDecoder(bufio.NewReader(r))
	decoder.DisallowUnknownFields()
	for {
		var m message

		err := decoder.Decode(&m)
		if err == io.EOF {
			return messages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", len(messages)+1, err)
		}
		messages = append(messages, m)
	}
}

/* Lines out, each at once, since a test waits for them; the first error is kept. */
type output struct {
	encoder *json.Encoder
	err     error
}

func newOutput(w io.Writer) *output {
	return &output{encoder: json.NewEncoder(w)}
}

func (o *output) line(v interface{}) {
	if err := o.encoder.Encode(v); err != nil && o.err == nil {
		o.err = err
	}
}
