/*
 * copy.go
 *		What one would write in place of a subscription: franz-go's messages into a table by pgx's
 *		CopyFrom, and in the same transaction how far that went.
 *
 * The tables are "copied" (value text) and "progress" (partition int, next_offset bigint).
 */
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

/* As many rows as a batch of a subscription has. */
const batchSize = 10000

/* Store the records that were gathered, and where to go on, or neither. */
func storeBatch(ctx context.Context, db *pgx.Conn, records []*kgo.Record) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)

	stored, err := tx.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"value"},
		pgx.CopyFromSlice(len(records), func(i int) ([]any, error) {
			return []any{string(records[i].Value)}, nil
		}))
	if err != nil {
		return err
	}
	if int(stored) != len(records) {
		return fmt.Errorf("%d of %d rows were stored", stored, len(records))
	}
	next := map[int32]int64{}
	for _, record := range records {
		next[record.Partition] = record.Offset + 1
	}
	for partition, offset := range next {
		if _, err := tx.Exec(ctx, "UPDATE progress SET next_offset = $2 WHERE partition = $1",
			partition, offset); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

/* Where to begin, by the table. */
func readProgress(ctx context.Context, db *pgx.Conn) (map[int32]kgo.Offset, error) {
	rows, err := db.Query(ctx, "SELECT partition, next_offset FROM progress")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	offsets := map[int32]kgo.Offset{}
	for rows.Next() {
		var partition int32
		var offset int64
		if err := rows.Scan(&partition, &offset); err != nil {
			return nil, err
		}
		offsets[partition] = kgo.NewOffset().At(offset)
	}
	return offsets, rows.Err()
}

/* Copy so many messages into the database that libpq's environment names. */
func (c franzClient) copyInto(topic string, count int) error {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	offsets, err := readProgress(ctx, db)
	if err != nil {
		return err
	}
	begin := time.Now()
	client, err := c.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return err
	}
	defer client.Close()

	done := 0
	for done < count {
		fetchCtx, cancel := context.WithTimeout(ctx, patience)
		fetches := client.PollRecords(fetchCtx, batchSize)
		cancel()
		if err := fetches.Err(); err != nil {
			return err
		}
		records := fetches.Records()
		if err := storeBatch(ctx, db, records); err != nil {
			return err
		}
		done += len(records)
	}
	fmt.Printf("count=%d inner=%.3f\n", done, time.Since(begin).Seconds())
	return nil
}
