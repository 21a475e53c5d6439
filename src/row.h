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
 * all) are made, the others are NULL. Allocated in the current context, which also holds the
 * buffers that values live in until the next row.
 */
extern KafkaRow *KafkaRowOpenRead(Relation rel, const KafkaTable *table, Bitmapset *used);

/*
 * Fill a virtual slot from a message. An error names topic, partition, offset and column.
 */
extern void KafkaRowStore(KafkaRow *row, const KafkaMessage *message, KafkaHeadersFn headers,
						  void *source, TupleTableSlot *slot);

/*
 * Prepare to send rows of a relation: attrs are the attribute numbers that the statement gives (an
 * int list; NIL: all). 55000 for a table that is not updatable, or has no column for the value.
 */
extern KafkaRow *KafkaRowOpenWrite(Relation rel, const KafkaTable *table, List *attrs);

/*
 * The message that a row stands for. What it points to lives in the slot or in a context that is
 * reset by the next call. Errors: a given offset or timestamp type (0A000), a tombstone without a
 * key (22004), another topic, or two columns that both give the same part (22023), a partition or
 * timestamp out of Kafka's range (22003, 22008).
 */
extern void KafkaRowFetch(KafkaRow *row, TupleTableSlot *slot, KafkaOutgoing *message);

/*
 * Put where the message that was fetched last went into the row, for RETURNING. What is not known
 * is NULL: a negative offset, and the timestamp's type where no timestamp was given.
 */
extern void KafkaRowStoreDelivery(KafkaRow *row, TupleTableSlot *slot, int32 partition,
								  int64 offset, int64 timestamp);

#endif							/* KAFKA_ROW_H */
