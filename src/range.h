/*
 * range.h
 *		Which messages a condition can be true for: the algebra of intervals of partition, offset
 *		and timestamp. Pure computation: no network, no catalogue.
 *
 * A condition is a union of boxes. A box is the product of three intervals; an empty list is a
 * condition that is never true, and a list with the universal box one that says nothing. The
 * algebra may widen (when boxes become too many), never narrow: every condition is checked again
 * on the rows.
 */
#ifndef KAFKA_RANGE_H
#define KAFKA_RANGE_H

#include "nodes/pg_list.h"

#include "consumer.h"

/* Half open: lo <= x < hi. PG_INT64_MIN and PG_INT64_MAX stand for no bound. */
typedef struct KafkaInterval
{
	int64		lo;
	int64		hi;
} KafkaInterval;

typedef enum KafkaDimension
{
	KAFKA_DIM_PARTITION,
	KAFKA_DIM_OFFSET,
	KAFKA_DIM_TIMESTAMP			/* ms since 1970 */
} KafkaDimension;

#define KAFKA_DIMENSIONS 3
#define KAFKA_MAX_BOXES 10000	/* beyond that, boxes are joined */
#define KAFKA_RANGE_OPEN "tail" /* EXPLAIN's word for a range that has no end */

typedef struct KafkaBox
{
	KafkaInterval dim[KAFKA_DIMENSIONS];
} KafkaBox;

/* The condition that is always true: one unbounded box. */
extern List *KafkaRangeAll(void);

extern bool KafkaRangeIsAll(List *boxes);

/* A condition on one dimension alone; an empty interval gives NIL. */
extern List *KafkaRangeOne(KafkaDimension dim, int64 lo, int64 hi);

/* The same for the union of several intervals, which may overlap and be empty. */
extern List *KafkaRangeIntervals(KafkaDimension dim, const KafkaInterval *intervals,
								 int nintervals);

extern List *KafkaRangeAnd(List *a, List *b);
extern List *KafkaRangeOr(List *a, List *b);

/* Boxes that touch or overlap in one dimension and agree in the others are joined. */
extern List *KafkaRangeSimplify(List *boxes);

/* A copy in the current context, boxes included; the functions above may share boxes. */
extern List *KafkaRangeCopy(List *boxes);

/* True where no box can hold a message of this partition. */
extern bool KafkaRangeExcludesPartition(List *boxes, int32 partition);

/*
 * Sort ranges by partition and start, join those that touch or overlap, leave out empty ones; the
 * number left.
 */
extern int	KafkaRangeNormalize(KafkaRange *ranges, int nranges);

/* "0: [100, 200)", as EXPLAIN shows a range. */
extern char *KafkaRangeToString(const KafkaRange *range);

#endif							/* KAFKA_RANGE_H */
