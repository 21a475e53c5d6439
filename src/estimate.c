/*
 * estimate.c
 *		How many messages a scan reads, and how many rows come of it, as far as planning knows.
 *
 * Three sources, the first that there is:
 *	- the topic's ends, where the table says use_remote_estimate: offsets are taken for messages;
 *	- ANALYZE's statistics. PostgreSQL's own estimates are made for conditions that are independent
 *	  of each other and for tables that do not grow. Here offset and timestamp grow together, and
 *	  conditions reach beyond the end that ANALYZE saw. So the histograms are read here: an interval
 *	  of offsets, or of times, becomes one of shares of the topic, and where there are both, what the
 *	  two share counts. Beyond the end the topic is taken to have gone on as before.
 *	- assumptions, chosen for the decisions that hang on them: to read by offset once for each row of
 *	  a small table must win against reading the whole topic once, and the other way round for a
 *	  large one.
 *
 * Constants, and what PostgreSQL can compute while planning (now() - interval '5 min'), are known as
 * boxes. Other values are not: equality leaves one offset or one partition, and all else is
 * PostgreSQL's guess.
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/selfuncs.h"

#include "consumer.h"
#include "estimate.h"
#include "setting.h"

/*
 * What a topic is taken to hold where nothing is known: so much that a few hundred rows are rather
 * joined by looking each one up, and so little that to read it all does not seem worth compiling
 * for (jit_above_cost), which would take longer than most reads.
 */
#define DEFAULT_PARTITIONS 10
#define DEFAULT_MESSAGES 250000.0
#define DEFAULT_BYTES 100.0		/* of a message */

/*
 * Of a topic that ANALYZE saw, what begins beyond the end that it had: offsets without an upper bound
 * are this share of it, as with PostgreSQL's own histograms, and times no more than that one.
 */
#define BEYOND_END 0.0001
#define MAX_BEYOND_END 0.1

/* The share of a column's values over which a histogram is levelled; see smooth_share(). */
#define SMOOTH 0.02

/* A message costs a third of a microsecond, and its bytes as much again for every 200 of them. */
#define MESSAGE_COST 0.02
#define BYTE_COST (1.0 / BLCKSZ)

/*
 * In cpu_operator_cost, which is about 120 instructions here: to make a column of a number, of text,
 * and by a type's input function; and to find the fields of a value, for each of its bytes.
 */
#define NUMBER_COST 0.25
#define TEXT_COST 1.0
#define INPUT_COST 4.0
#define CSV_COST 0.1
#define JSON_COST 0.15

/* A value that a column often has, with the share of the rows that have a smaller one, or it. */
typedef struct CommonValue
{
	int64		value;
	double		below;
	double		share;			/* of the rows that have this one */
} CommonValue;

/* The statistics of partition, offset or timestamp, as the numbers that boxes have. */
typedef struct Distribution
{
	bool		known;
	CommonValue *common;		/* ascending */
	int			ncommon;
	int64	   *bounds;			/* of a histogram of the other values, ascending */
	int			nbounds;
	double		rest;			/* the share of the rows that these are */
	double		distinct;		/* so many different values */
	int64		min;
	int64		max;
} Distribution;

struct KafkaEstimate
{
	PlannerInfo *root;
	RelOptInfo *rel;
	const KafkaTable *table;
	const KafkaQualColumns *columns;
	KafkaSnapshot *snapshot;	/* what the topic holds; NULL: not asked */
	double		npartitions;
	double		message_bytes;
	Distribution dims[KAFKA_DIMENSIONS];
};

/* An interval of the share of a topic's messages that come before a place in it. */
typedef struct Share
{
	double		lo;
	double		hi;
} Share;

/* ------------------------------------------------------------------------
 * Statistics
 * ------------------------------------------------------------------------ */

/* A value of a column as the number that a box has. */
static int64
stored_value(Oid type, Datum value)
{
	switch (getBaseType(type))
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case TIMESTAMPTZOID:
			return kafka_timestamptz_to_ms(DatumGetTimestampTz(value));
		default:
			return DatumGetInt64(value);
	}
}

static int
compare_common(const void *a, const void *b)
{
	int64		x = ((const CommonValue *) a)->value;
	int64		y = ((const CommonValue *) b)->value;

	return (x > y) - (x < y);
}

static void
read_common(Distribution *dist, HeapTuple tuple)
{
	AttStatsSlot slot;
	double		below = 0;

	if (!get_attstatsslot(&slot, tuple, STATISTIC_KIND_MCV, InvalidOid,
						  ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS))
		return;
	dist->ncommon = Min(slot.nvalues, slot.nnumbers);
	dist->common = palloc(Max(dist->ncommon, 1) * sizeof(CommonValue));
	for (int i = 0; i < dist->ncommon; i++)
	{
		dist->common[i].value = stored_value(slot.valuetype, slot.values[i]);
		dist->common[i].share = slot.numbers[i];
	}
	free_attstatsslot(&slot);
	qsort(dist->common, dist->ncommon, sizeof(CommonValue), compare_common);
	for (int i = 0; i < dist->ncommon; i++)
	{
		dist->common[i].below = below;
		below += dist->common[i].share;
	}
	dist->rest -= below;
}

static void
read_histogram(Distribution *dist, HeapTuple tuple)
{
	AttStatsSlot slot;

	if (!get_attstatsslot(&slot, tuple, STATISTIC_KIND_HISTOGRAM, InvalidOid,
						  ATTSTATSSLOT_VALUES))
		return;
	dist->nbounds = slot.nvalues;
	dist->bounds = palloc(Max(dist->nbounds, 1) * sizeof(int64));
	for (int i = 0; i < dist->nbounds; i++)
		dist->bounds[i] = stored_value(slot.valuetype, slot.values[i]);
	free_attstatsslot(&slot);
}

/* What ANALYZE found out about a column, if anything. */
static void
read_statistics(KafkaEstimate *estimate, KafkaDimension dim)
{
	Distribution *dist = &estimate->dims[dim];
	AttrNumber	attnum = estimate->columns->attnum[dim];
	RelOptInfo *rel = estimate->rel;
	VariableStatData vardata;
	bool		isdefault;
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (attnum == 0)
		return;
	get_atttypetypmodcoll(estimate->table->relid, attnum, &type, &typmod, &collation);
	examine_variable(estimate->root,
					 (Node *) makeVar(rel->relid, attnum, type, typmod, collation, 0),
					 rel->relid, &vardata);
	if (HeapTupleIsValid(vardata.statsTuple))
	{
		Form_pg_statistic form = (Form_pg_statistic) GETSTRUCT(vardata.statsTuple);

		dist->rest = 1.0 - form->stanullfrac;
		read_common(dist, vardata.statsTuple);
		read_histogram(dist, vardata.statsTuple);
		dist->distinct = get_variable_numdistinct(&vardata, &isdefault);
	}
	ReleaseVariableStats(vardata);

	if (dist->nbounds < 2)
		dist->nbounds = 0;
	if (dist->ncommon == 0 && dist->nbounds == 0)
		return;
	dist->known = true;
	dist->min = PG_INT64_MAX;
	dist->max = PG_INT64_MIN;
	if (dist->nbounds > 0)
	{
		dist->min = dist->bounds[0];
		dist->max = dist->bounds[dist->nbounds - 1];
	}
	if (dist->ncommon > 0)
	{
		dist->min = Min(dist->min, dist->common[0].value);
		dist->max = Max(dist->max, dist->common[dist->ncommon - 1].value);
	}
}

/* How many of the common values are smaller than this. */
static int
count_below(const Distribution *dist, int64 value)
{
	int			lo = 0;
	int			hi = dist->ncommon;

	while (lo < hi)
	{
		int			mid = lo + (hi - lo) / 2;

		if (dist->common[mid].value < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The share of the rows that have one of these. */
static double
common_below(const Distribution *dist, int64 value)
{
	int			n = count_below(dist, value);

	return n == 0 ? 0 : dist->common[n - 1].below + dist->common[n - 1].share;
}

/* The share of the other rows that have a smaller value. */
static double
histogram_below(const Distribution *dist, int64 value)
{
	int			lo = 0;
	int			hi = dist->nbounds - 1;

	if (value <= dist->bounds[0])
		return 0;
	if (value > dist->bounds[hi])
		return 1;
	while (hi - lo > 1)
	{
		int			mid = lo + (hi - lo) / 2;

		if (dist->bounds[mid] < value)
			lo = mid;
		else
			hi = mid;
	}
	return (lo + ((double) value - (double) dist->bounds[lo]) /
			((double) dist->bounds[hi] - (double) dist->bounds[lo])) / (dist->nbounds - 1);
}

/*
 * The share of the rows that have a smaller value. Beyond the end that ANALYZE saw it rises above 1,
 * as steeply as from the beginning to there.
 */
static double
share_below(const Distribution *dist, int64 value)
{
	double		share = common_below(dist, value);

	if (dist->nbounds > 0)
		share += dist->rest * histogram_below(dist, value);
	if (value > dist->max)
		share = 1 + ((double) value - (double) dist->max) /
			((double) dist->max - (double) dist->min + 1);
	return share;
}

/* ------------------------------------------------------------------------
 * What is known
 * ------------------------------------------------------------------------ */

/* Ask the topic what it holds, as a scan would that started now. */
static KafkaSnapshot *
remote_snapshot(const KafkaTable *table)
{
	MemoryContext planner = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(planner, "kafka_fdw estimate",
											   ALLOCSET_SMALL_SIZES);
	KafkaConsumer *consumer;
	KafkaSnapshot *snapshot;

	KafkaSettingCheckRead();
	KafkaOptionCheckTopic(table->server, table->topic);
	MemoryContextSwitchTo(work);
	consumer = KafkaConsumerOpen(table->server, table->topic, table->read_committed, false);
	MemoryContextSwitchTo(planner);
	snapshot = KafkaConsumerSnapshot(consumer);
	MemoryContextDelete(work);
	return snapshot;
}

/* The numbers that two intervals share. */
static double
count_common(const KafkaInterval *a, int64 lo, int64 hi)
{
	return Max((double) Min(a->hi, hi) - (double) Max(a->lo, lo), 0);
}

/*
 * The messages in a box, where the topic was asked what it holds: offsets are taken for messages,
 * and the table's own bounds are heeded as far as they are offsets.
 */
static double
count_in_snapshot(const KafkaEstimate *estimate, const KafkaBox *box)
{
	const KafkaInterval *partitions = &box->dim[KAFKA_DIM_PARTITION];
	double		messages = 0;

	for (int i = 0; i < estimate->snapshot->npartitions; i++)
	{
		const KafkaPartition *part = &estimate->snapshot->partitions[i];
		KafkaOffset start = KafkaOffsetFor(estimate->table->start, part->partition);
		KafkaOffset end = KafkaOffsetFor(estimate->table->end, part->partition);
		int64		lo = part->low;
		int64		hi = part->end;

		if (part->partition < partitions->lo || part->partition >= partitions->hi)
			continue;
		if (start.kind == KAFKA_OFFSET_AT)
			lo = Max(lo, start.value);
		else if (start.kind == KAFKA_OFFSET_LAST)
			lo = Max(lo, hi - Min(start.value, hi));
		else if (start.kind == KAFKA_OFFSET_NEWEST)
			lo = hi;
		if (end.kind == KAFKA_OFFSET_AT)
			hi = Min(hi, end.value);
		messages += count_common(&box->dim[KAFKA_DIM_OFFSET], lo, hi);
	}
	return messages;
}

KafkaEstimate *
KafkaEstimateOpen(PlannerInfo *root, RelOptInfo *rel, const KafkaTable *table,
				  const KafkaQualColumns *columns)
{
	KafkaEstimate *estimate = palloc0(sizeof(KafkaEstimate));
	const Distribution *partitions = &estimate->dims[KAFKA_DIM_PARTITION];

	estimate->root = root;
	estimate->rel = rel;
	estimate->table = table;
	estimate->columns = columns;
	estimate->message_bytes = DEFAULT_BYTES;

	/* -1, where there was never an ANALYZE; and an empty topic does not stay so */
	if (rel->tuples > 0)
	{
		if (rel->pages > 0)
			estimate->message_bytes = (double) rel->pages * BLCKSZ / rel->tuples;
		for (int d = 0; d < KAFKA_DIMENSIONS; d++)
			read_statistics(estimate, (KafkaDimension) d);
	}
	else
		rel->tuples = DEFAULT_MESSAGES;

	if (table->use_remote_estimate)
	{
		KafkaBox   *all = (KafkaBox *) linitial(KafkaRangeAll());

		estimate->snapshot = remote_snapshot(table);
		estimate->npartitions = estimate->snapshot->npartitions;
		rel->tuples = Max(count_in_snapshot(estimate, all), 1);
	}
	else if (partitions->known)
		estimate->npartitions = partitions->distinct;
	else
		estimate->npartitions = table->num_partitions > 0 ? table->num_partitions
			: DEFAULT_PARTITIONS;
	estimate->npartitions = Max(estimate->npartitions, 1);
	return estimate;
}

/* ------------------------------------------------------------------------
 * Boxes
 * ------------------------------------------------------------------------ */

/*
 * The shares between which a short interval lies that is within what ANALYZE saw. Its sample is made
 * of runs of messages, so its histogram is uneven in the small: steep where a run was, flat between
 * two. So the slope is taken from a longer interval about this one.
 */
static Share
smooth_share(const Distribution *dist, const KafkaInterval *interval)
{
	double		range = (double) dist->max - (double) dist->min + 1;
	double		width = (double) interval->hi - (double) interval->lo;
	double		wider = Max(width, range * SMOOTH);
	int64		lo = Max(interval->lo - (int64) ((wider - width) / 2), dist->min);
	int64		hi = Min(lo + (int64) wider, dist->max);
	Share		share;

	lo = Min(lo, interval->lo);
	hi = Max(hi, interval->hi);
	share.lo = share_below(dist, interval->lo);
	share.hi = share.lo + (share_below(dist, hi) - share_below(dist, lo)) * width /
		((double) hi - (double) lo);
	return share;
}

/*
 * The shares of the topic between which an interval lies. Where it has no upper bound, or nothing is
 * known, that is without one too. An offset that is named may well be there by now, so those beyond
 * the end that ANALYZE saw count. Times that are named say nothing of the kind: an interval that
 * begins before the end ends there, and a later one at the present.
 */
static Share
interval_share(const KafkaEstimate *estimate, const KafkaBox *box, KafkaDimension dim)
{
	const Distribution *dist = &estimate->dims[dim];
	const KafkaInterval *interval = &box->dim[dim];
	Share		share = {0, HUGE_VAL};

	if (!dist->known)
		return share;
	if (interval->lo >= dist->min && interval->hi <= dist->max)
		return smooth_share(dist, interval);
	if (interval->lo != PG_INT64_MIN)
		share.lo = share_below(dist, interval->lo);
	if (dim == KAFKA_DIM_TIMESTAMP && interval->lo > dist->max)
	{
		int64		now = (GetCurrentStatementStartTimestamp() +
						   KAFKA_EPOCH_DIFFERENCE_US) / 1000;

		share.hi = Min(share_below(dist, Min(interval->hi, now)), share.lo + MAX_BEYOND_END);
	}
	else if (interval->hi != PG_INT64_MAX &&
			 (dim != KAFKA_DIM_TIMESTAMP || interval->hi <= dist->max))
		share.hi = share_below(dist, interval->hi);
	return share;
}

/* How many partitions an interval means; there is one at least, known of or not. */
static double
count_partitions(const KafkaEstimate *estimate, const KafkaInterval *interval)
{
	const Distribution *dist = &estimate->dims[KAFKA_DIM_PARTITION];
	int64		end = (int64) estimate->npartitions;
	double		known = count_common(interval, 0, dist->known ? Max(end, dist->max + 1) : end);

	return known > 0 ? known : Min(count_common(interval, 0, PG_INT64_MAX), 1);
}

/*
 * Of the topic's messages, the share that is in the partitions of a box. Those whose share ANALYZE
 * did not see, because they are many or have little, have what is left in equal parts.
 */
static double
partition_share(const KafkaEstimate *estimate, const KafkaInterval *interval)
{
	const Distribution *dist = &estimate->dims[KAFKA_DIM_PARTITION];
	double		npartitions = count_partitions(estimate, interval);
	double		share;

	if (!dist->known)
		return npartitions / estimate->npartitions;
	share = common_below(dist, interval->hi) - common_below(dist, interval->lo);
	npartitions -= count_below(dist, interval->hi) - count_below(dist, interval->lo);
	if (npartitions > 0 && interval->lo <= dist->max && dist->distinct > dist->ncommon)
		share += dist->rest * Min(npartitions / (dist->distinct - dist->ncommon), 1);
	return Max(share, BEYOND_END);
}

/*
 * The messages in a box, by statistics or assumptions. Partitions need not be equally long, and
 * nothing tells which offsets each has. So an interval of offsets in one partition is thought to
 * hold what it would if all were as long, if that is more; but not more messages than offsets.
 */
static double
count_assumed(const KafkaEstimate *estimate, const KafkaBox *box)
{
	const KafkaInterval *offsets = &box->dim[KAFKA_DIM_OFFSET];
	const KafkaInterval *partitions = &box->dim[KAFKA_DIM_PARTITION];
	bool		bounded = offsets->hi != PG_INT64_MAX;
	double		npartitions = count_partitions(estimate, partitions);
	double		share = partition_share(estimate, partitions);
	double		numbers = count_common(offsets, 0, PG_INT64_MAX) * npartitions;
	Share		by_offset = interval_share(estimate, box, KAFKA_DIM_OFFSET);
	Share		by_time = interval_share(estimate, box, KAFKA_DIM_TIMESTAMP);
	double		end = Min(by_offset.hi, by_time.hi);
	double		part = Max((end == HUGE_VAL ? 1 : end) - Max(by_offset.lo, by_time.lo),
						   BEYOND_END);

	if (estimate->dims[KAFKA_DIM_OFFSET].known)
		return bounded ? Min(numbers, estimate->rel->tuples * part *
							 Max(share, npartitions / estimate->npartitions))
			: estimate->rel->tuples * part * share;

	/* An upper bound counts messages by itself; a lower one leaves the usual third. */
	if (bounded)
		return numbers * Min(part, 1);
	return estimate->rel->tuples * part * share * (offsets->lo > 0 ? DEFAULT_INEQ_SEL : 1);
}

static double
count_boxes(const KafkaEstimate *estimate, List *boxes)
{
	double		messages = 0;
	ListCell   *lc;

	foreach(lc, boxes)
	{
		const KafkaBox *box = (const KafkaBox *) lfirst(lc);

		if (estimate->snapshot)
		{
			Share		share = interval_share(estimate, box, KAFKA_DIM_TIMESTAMP);

			messages += count_in_snapshot(estimate, box) *
				Max((share.hi == HUGE_VAL ? 1 : share.hi) - share.lo, BEYOND_END);
		}
		else
			messages += count_assumed(estimate, box);
	}
	return Min(messages, estimate->rel->tuples);
}

/* True where boxes say it all: they bound something, and only what something is known of. */
static bool
boxes_count(const KafkaEstimate *estimate, List *boxes)
{
	ListCell   *lc;

	foreach(lc, boxes)
	{
		const KafkaInterval *times = &((KafkaBox *) lfirst(lc))->dim[KAFKA_DIM_TIMESTAMP];

		if ((times->lo != PG_INT64_MIN || times->hi != PG_INT64_MAX) &&
			!estimate->dims[KAFKA_DIM_TIMESTAMP].known)
			return false;
	}
	return !KafkaRangeIsAll(boxes);
}

/* What has to be read for boxes: upper bounds on timestamps may not be usable; see resolve.c. */
static List *
boxes_read(const KafkaEstimate *estimate, List *boxes)
{
	const KafkaTable *table = estimate->table;
	List	   *result = NIL;
	ListCell   *lc;

	if (table->timestamp_ordered || table->max_timestamp_skew >= 0)
		return boxes;
	foreach(lc, boxes)
	{
		KafkaBox   *box = palloc(sizeof(KafkaBox));

		*box = *(KafkaBox *) lfirst(lc);
		box->dim[KAFKA_DIM_TIMESTAMP].hi = PG_INT64_MAX;
		result = lappend(result, box);
	}
	return KafkaRangeSimplify(result);
}

/* ------------------------------------------------------------------------
 * Scans
 * ------------------------------------------------------------------------ */

/* Of clauses whose values are not known, those that leave less to read. */
static List *
clauses_read(const KafkaEstimate *estimate, List *clauses, Relids outer)
{
	const KafkaTable *table = estimate->table;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (table->timestamp_ordered || table->max_timestamp_skew >= 0 ||
			!KafkaQualIsUpperTime(estimate->columns, (Expr *) lfirst(lc), outer))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

static double
selectivity(const KafkaEstimate *estimate, List *clauses)
{
	return clauselist_selectivity(estimate->root, clauses, estimate->rel->relid, JOIN_INNER,
								  NULL);
}

void
KafkaEstimateScan(KafkaEstimate *estimate, List *clauses, Relids outer, double *messages,
				  double *rows)
{
	const KafkaQualColumns *columns = estimate->columns;
	List	   *boxes = KafkaRangeAll();
	List	   *pushed = NIL;
	List	   *guessed = NIL;	/* of these, the ones whose values are not known */
	List	   *filters = NIL;
	double		read;
	double		shown;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		Node	   *clause;
		List	   *known;

		if (!KafkaQualIsPushable(columns, rinfo->clause, outer))
		{
			filters = lappend(filters, rinfo);
			continue;
		}
		pushed = lappend(pushed, rinfo->clause);
		clause = estimate_expression_value(estimate->root, (Node *) rinfo->clause);
		known = KafkaQualEstimate(columns, list_make1(clause), outer);
		if (boxes_count(estimate, known))
			boxes = KafkaRangeAnd(boxes, known);
		else
			guessed = lappend(guessed, rinfo->clause);
	}
	shown = count_boxes(estimate, boxes);
	read = Max(count_boxes(estimate, boxes_read(estimate, boxes)), shown);

	if (KafkaQualFixes(columns, guessed, outer, KAFKA_DIM_OFFSET))
	{
		read = Min(read, KafkaQualFixes(columns, pushed, outer, KAFKA_DIM_PARTITION) ? 1
				   : estimate->npartitions);
		shown = Min(shown, read);
		guessed = NIL;
	}
	foreach(lc, guessed)
	{
		if (!KafkaQualFixes(columns, list_make1(lfirst(lc)), outer, KAFKA_DIM_PARTITION))
			continue;
		read /= estimate->npartitions;
		shown /= estimate->npartitions;
		guessed = foreach_delete_current(guessed, lc);
	}
	*messages = read * selectivity(estimate, clauses_read(estimate, guessed, outer));
	*rows = clamp_row_est(shown * selectivity(estimate, list_concat(guessed, filters)));
}

/* ------------------------------------------------------------------------
 * Costs
 * ------------------------------------------------------------------------ */

/* What a column shows, and what it costs to make it, in cpu_operator_cost. */
static double
column_cost(const KafkaEstimate *estimate, AttrNumber attnum, KafkaPart *part)
{
	Oid			relid = estimate->table->relid;
	KafkaColumn column;

	KafkaOptionGetColumn(relid, attnum, estimate->table->format, &column);
	*part = column.part;
	switch (column.part)
	{
		case KAFKA_PART_KEY:
		case KAFKA_PART_VALUE:
		case KAFKA_PART_FIELD:
			switch (getBaseType(get_atttype(relid, attnum)))
			{
				case TEXTOID:
				case VARCHAROID:
				case BYTEAOID:
					return TEXT_COST;
				default:
					return INPUT_COST;
			}
		case KAFKA_PART_HEADERS:
			return INPUT_COST;
		default:
			return NUMBER_COST;
	}
}

/* The same for those that a scan makes: some, or all of them. */
static double
columns_cost(const KafkaEstimate *estimate, List *attrs, bool all)
{
	bool		fields = false;
	bool		junk = false;
	double		cost = 0;

	for (AttrNumber attnum = 1; attnum <= estimate->rel->max_attr; attnum++)
	{
		KafkaPart	part;
		double		one;

		if (!all && !list_member_int(attrs, attnum - FirstLowInvalidHeapAttributeNumber))
			continue;
		one = column_cost(estimate, attnum, &part);
		cost += part == KAFKA_PART_NONE ? 0 : one;
		fields |= part == KAFKA_PART_FIELD;
		junk |= part == KAFKA_PART_JUNK || part == KAFKA_PART_JUNK_ERROR;
	}

	/* Whether a message can be decoded shows in all of its columns. */
	if (!all && (junk || estimate->table->on_error == KAFKA_ON_ERROR_SKIP))
		return columns_cost(estimate, attrs, true);
	if (fields)
		cost += estimate->message_bytes *
			(estimate->table->format == KAFKA_FORMAT_CSV ? CSV_COST : JSON_COST);
	return cost;
}

Cost
KafkaEstimateMessageCost(const KafkaEstimate *estimate, List *attrs)
{
	bool		all = list_member_int(attrs, 0 - FirstLowInvalidHeapAttributeNumber);

	return MESSAGE_COST + estimate->message_bytes * BYTE_COST +
		columns_cost(estimate, attrs, all) * cpu_operator_cost;
}
