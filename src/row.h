/*
 * row.h
 *		A message and a row of a foreign table: which column is which part, and their conversion.
 */
#ifndef KAFKA_ROW_H
#define KAFKA_ROW_H

#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "utils/rel.h"

#include "message.h"
#include "option.h"

typedef struct KafkaRow KafkaRow;

/* How the row gets a message's headers; asked only where a column shows them. */
typedef int (*KafkaHeadersFn) (void *source, const KafkaMessage *message, KafkaHeader **headers);

/*
 * Prepare to fill rows of a relation. Only the attributes in "used" (numbers offset by
 * FirstLowInvalidHeapAttributeNumber, as pull_varattnos gives them; a whole-row reference means
 * all) are made, the others are NULL, except where the table's on_error and junk columns have it
 * that all are looked at. Allocated in the current context, which also holds the buffers that
 * values live in until the next row.
 */
extern KafkaRow *KafkaRowOpenRead(Relation rel, const KafkaTable *table, Bitmapset *used);

/*
 * Fill a virtual slot from a message, and return true; false, with the slot empty, where the
 * message cannot be decoded and on_error is skip. An error names topic, partition, offset and
 * column.
 */
extern bool KafkaRowStore(KafkaRow *row, const KafkaMessage *message, KafkaHeadersFn headers,
						  void *source, TupleTableSlot *slot);

/*
 * What the message that was stored last, with its row shown, does to the row of its key. unavailable
 * is NULL, or by attribute, from 0 on, true for columns whose values the message says it does not
 * have, and which are NULL in the slot.
 */
extern KafkaChange KafkaRowChange(const KafkaRow *row, const KafkaMessage *message,
								  const bool **unavailable);

/* The messages that were left out so far. */
extern int64 KafkaRowSkipped(const KafkaRow *row);

/*
 * The WARNING at the end of a scan that left messages out, if any; skipped is their number, to
 * which those of other workers can have been added. The row's own first one goes into its DETAIL.
 */
extern void KafkaRowWarnSkipped(const KafkaRow *row, int64 skipped);

/*
 * True where a table's rows can be made in a parallel worker: not with domains' checks, not with
 * input functions that PostgreSQL says are not, and, where bad data is not an error, not before
 * PostgreSQL 17, whose workers are the first that can have subtransactions.
 */
extern bool KafkaRowIsParallelSafe(Relation rel, const KafkaTable *table);

/*
 * Prepare to send rows of a relation: attrs are the attribute numbers that the statement gives (an
 * int list; NIL: all). 55000 for a table that is not updatable, or has no column for the value.
 */
extern KafkaRow *KafkaRowOpenWrite(Relation rel, const KafkaTable *table, List *attrs);

/*
 * The message that a row stands for. What it points to lives in the slot or in a context that is
 * reset by the next call. Fields make the value also where they are all NULL, unless the table has
 * a column for the whole value too; they make the key only where one of them is not NULL. Errors:
 * a given offset, timestamp type or junk (0A000), a tombstone without a key (22004), another topic,
 * or two columns that both give the same part (22023), a partition or timestamp out of Kafka's
 * range (22003, 22008).
 */
extern void KafkaRowFetch(KafkaRow *row, TupleTableSlot *slot, KafkaOutgoing *message);

/*
 * Put where the message that was fetched last went into the row, for RETURNING. What is not known
 * is NULL: a negative offset, and the timestamp's type where no timestamp was given.
 */
extern void KafkaRowStoreDelivery(KafkaRow *row, TupleTableSlot *slot, int32 partition,
								  int64 offset, int64 timestamp);

#endif							/* KAFKA_ROW_H */
