/*
 * qual_evaluate.c
 *		A condition that qual.c understood becomes boxes: the values in it are computed, and
 *		bounds are made of them.
 *
 * NULL needs no third value here, since a clause selects only what it is true for: comparing with
 * NULL gives no box.
 *
 * All values become whole numbers. Those of a timestamp are milliseconds, which is what Kafka
 * stores and what a column shows, while a value compared with it may lie between two of them: see
 * ValueBound.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "message.h"
#include "qual_private.h"

#define EPOCH_DIFFERENCE_MS (KAFKA_EPOCH_DIFFERENCE_US / 1000)

struct KafkaQual
{
	QualNode   *root;
};

/* A value as a bound on whole numbers: floor(value), and whether that is the value itself. */
typedef struct ValueBound
{
	int64		floor;
	bool		exact;
	int			infinite;		/* -1, 0 or 1; the others mean nothing then */
} ValueBound;

bool
kafka_qual_is_constant(QualNode *node)
{
	ListCell   *lc;

	foreach(lc, node->args)
	{
		if (!kafka_qual_is_constant((QualNode *) lfirst(lc)))
			return false;
	}
	return node->value == NULL || IsA(node->value, Const);
}

/*
 * A value now, in econtext's per-tuple memory. False where it is not known: without an econtext
 * all but constants.
 */
static bool
get_value(QualNode *node, ExprContext *econtext, Datum *value, bool *isnull)
{
	if (econtext != NULL)
		*value = ExecEvalExprSwitchContext(node->state, econtext, isnull);
	else if (IsA(node->value, Const))
	{
		*value = ((Const *) node->value)->constvalue;
		*isnull = ((Const *) node->value)->constisnull;
	}
	else
		return false;
	return true;
}

/*
 * A timestamp in milliseconds since 1970, rounded down; 'overflow' is what the conversion from
 * another type said. PostgreSQL compares dates beyond the range of timestamptz as infinities too.
 */
static ValueBound
timestamp_bound(TimestampTz value, int overflow)
{
	ValueBound	bound = {0, true, 0};
	int64		rest;

	if (overflow != 0)
		bound.infinite = overflow;
	else if (TIMESTAMP_IS_NOBEGIN(value))
		bound.infinite = -1;
	else if (TIMESTAMP_IS_NOEND(value))
		bound.infinite = 1;
	else
	{
		bound.floor = value / 1000;
		rest = value % 1000;
		if (rest < 0)
			bound.floor--;
		bound.floor += EPOCH_DIFFERENCE_MS;
		bound.exact = rest == 0;
	}
	return bound;
}

/* Beyond the range of int8 a number compares with offsets as an infinity does, and so does NaN. */
static ValueBound
numeric_bound(Numeric value)
{
	ValueBound	bound = {0, true, 0};
	Datum		floor;

	if (numeric_is_nan(value))
	{
		bound.infinite = 1;
		return bound;
	}
	floor = DirectFunctionCall1(numeric_floor, NumericGetDatum(value));
	if (DatumGetBool(DirectFunctionCall2(numeric_ge, floor,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
		bound.infinite = 1;
	else if (DatumGetBool(DirectFunctionCall2(numeric_lt, floor,
											  NumericGetDatum(int64_to_numeric(PG_INT64_MIN)))))
		bound.infinite = -1;
	else
	{
		bound.floor = DatumGetInt64(DirectFunctionCall1(numeric_int8, floor));
		bound.exact = DatumGetBool(DirectFunctionCall2(numeric_eq, floor, NumericGetDatum(value)));
	}
	return bound;
}

/* A value of one of the types that operator_strategy() lets through. */
static ValueBound
value_bound(Oid type, Datum value)
{
	ValueBound	bound = {0, true, 0};
	TimestampTz timestamp;
	int			overflow = 0;

	switch (type)
	{
		case INT2OID:
			bound.floor = DatumGetInt16(value);
			break;
		case INT4OID:
			bound.floor = DatumGetInt32(value);
			break;
		case INT8OID:
			bound.floor = DatumGetInt64(value);
			break;
		case NUMERICOID:
			bound = numeric_bound(DatumGetNumeric(value));
			break;
		case TIMESTAMPTZOID:
			bound = timestamp_bound(DatumGetTimestampTz(value), 0);
			break;
		case TIMESTAMPOID:
			timestamp = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
			bound = timestamp_bound(timestamp, overflow);
			break;
		case DATEOID:
			timestamp = date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
			bound = timestamp_bound(timestamp, overflow);
			break;
		default:
			elog(ERROR, "unexpected type %u in a comparison", type);
	}
	return bound;
}

/*
 * The whole numbers that stand in a relation to a value: up to two intervals, their number is
 * returned. No message has an infinite timestamp, nor the largest offset there could be, for which
 * half open intervals have no notation.
 */
static int
bound_intervals(StrategyNumber strategy, ValueBound bound, KafkaInterval *intervals)
{
	KafkaInterval all = {PG_INT64_MIN, PG_INT64_MAX};
	int64		next = bound.floor == PG_INT64_MAX ? PG_INT64_MAX : bound.floor + 1;
	int64		ceiling = bound.exact ? bound.floor : next;

	intervals[0] = all;
	if (bound.infinite != 0)
	{
		if (strategy == QUAL_NOT_EQUAL)
			return 1;
		if (bound.infinite > 0)
			return strategy == BTLessStrategyNumber || strategy == BTLessEqualStrategyNumber;
		return strategy == BTGreaterStrategyNumber || strategy == BTGreaterEqualStrategyNumber;
	}

	switch (strategy)
	{
		case BTLessStrategyNumber:
			intervals[0].hi = ceiling;
			return 1;
		case BTLessEqualStrategyNumber:
			intervals[0].hi = next;
			return 1;
		case BTEqualStrategyNumber:
			intervals[0].lo = bound.floor;
			intervals[0].hi = next;
			return bound.exact;
		case BTGreaterEqualStrategyNumber:
			intervals[0].lo = ceiling;
			return 1;
		case BTGreaterStrategyNumber:
			intervals[0].lo = next;
			return 1;
		default:
			Assert(strategy == QUAL_NOT_EQUAL);
			intervals[0].hi = ceiling;
			intervals[1].lo = next;
			intervals[1].hi = PG_INT64_MAX;
			return 2;
	}
}

/* The boxes for a comparison with a value that is known and not NULL. */
static List *
value_boxes(QualNode *node, StrategyNumber strategy, Datum value)
{
	KafkaInterval intervals[2];
	int			n = bound_intervals(strategy, value_bound(node->type, value), intervals);

	return KafkaRangeIntervals(node->dim, intervals, n);
}

static int
compare_intervals(const void *a, const void *b)
{
	const KafkaInterval *x = (const KafkaInterval *) a;
	const KafkaInterval *y = (const KafkaInterval *) b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/*
 * Replace single numbers, in any order and perhaps repeated, by the gaps around them, for which the
 * array has room for one interval more. Not by way of boxes: what they widen, this would narrow.
 */
static int
complement_points(KafkaInterval *points, int npoints)
{
	int64		lo = PG_INT64_MIN;
	int			n = 0;

	qsort(points, npoints, sizeof(KafkaInterval), compare_intervals);
	for (int i = 0; i < npoints; i++)
	{
		KafkaInterval point = points[i];

		if (point.lo > lo)
		{
			points[n].lo = lo;
			points[n++].hi = point.lo;
		}
		lo = point.hi;
	}
	points[n].lo = lo;
	points[n++].hi = PG_INT64_MAX;
	return n;
}

/*
 * ANY is the union over the elements, where NULLs add nothing; ALL is the intersection, where a
 * NULL leaves nothing. NOT IN (<> ALL) is the one that may be long: all but the union of "=".
 */
static List *
array_boxes(QualNode *node, ArrayType *array)
{
	StrategyNumber strategy = node->strategy;
	bool		complement = node->all && strategy == QUAL_NOT_EQUAL;
	KafkaInterval *intervals;
	Datum	   *values;
	bool	   *nulls;
	int			nvalues;
	int			n = 0;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(node->type, &typlen, &typbyval, &typalign);
	deconstruct_array(array, node->type, typlen, typbyval, typalign, &values, &nulls, &nvalues);
	if (complement)
		strategy = BTEqualStrategyNumber;

	intervals = palloc_extended((2 * (Size) nvalues + 2) * sizeof(KafkaInterval),
								MCXT_ALLOC_HUGE);
	if (node->all && !complement)
	{
		intervals[0].lo = PG_INT64_MIN;
		intervals[0].hi = PG_INT64_MAX;
		n = 1;
	}
	for (int i = 0; i < nvalues; i++)
	{
		KafkaInterval *next = &intervals[n];
		int			found;

		if (nulls[i])
		{
			if (node->all)
				return NIL;
			continue;
		}
		found = bound_intervals(strategy, value_bound(node->type, values[i]), next);
		if (!node->all || complement)
			n += found;
		else if (found == 0)
			return NIL;
		else
		{
			intervals[0].lo = Max(intervals[0].lo, next->lo);
			intervals[0].hi = Min(intervals[0].hi, next->hi);
		}
	}
	if (complement)
		n = complement_points(intervals, n);
	return KafkaRangeIntervals(node->dim, intervals, n);
}

/*
 * (a, b) < (x, y) is a < x, or a = x and b < y. Where a pair is not known, all that agrees in the
 * pairs before it may match; a NULL lets nothing match that agrees in them.
 */
static List *
row_boxes(QualNode *node, ExprContext *econtext)
{
	List	   *boxes = NIL;
	List	   *prefix = KafkaRangeAll();
	ListCell   *lc;

	foreach(lc, node->args)
	{
		QualNode   *pair = (QualNode *) lfirst(lc);
		bool		last = lnext(node->args, lc) == NULL && !node->partial;
		StrategyNumber strategy = pair->strategy;
		Datum		value;
		bool		isnull;

		if (!get_value(pair, econtext, &value, &isnull))
			return KafkaRangeOr(boxes, prefix);
		if (isnull)
			return boxes;
		if (!last)
			strategy = kafka_qual_strict_strategy(strategy);
		boxes = KafkaRangeOr(boxes, KafkaRangeAnd(prefix, value_boxes(pair, strategy, value)));
		prefix = KafkaRangeAnd(prefix, value_boxes(pair, BTEqualStrategyNumber, value));
	}
	return node->partial ? KafkaRangeOr(boxes, prefix) : boxes;
}

/*
 * Values are computed in the order of the clause and no further than its result needs, as the
 * executor would: ($1 = 0 OR "offset" > 10 / $1) does not divide by zero.
 */
List *
kafka_qual_evaluate(QualNode *node, ExprContext *econtext)
{
	List	   *boxes;
	Datum		value;
	bool		isnull;
	ListCell   *lc;

	check_stack_depth();
	switch (node->kind)
	{
		case QUAL_NEVER:
			return NIL;
		case QUAL_TEST:
			if (!get_value(node, econtext, &value, &isnull))
				return KafkaRangeAll();
			return !isnull && DatumGetBool(value) ? KafkaRangeAll() : NIL;
		case QUAL_COMPARE:
			if (!get_value(node, econtext, &value, &isnull))
				return KafkaRangeAll();
			return isnull ? NIL : value_boxes(node, node->strategy, value);
		case QUAL_ARRAY:
			if (!get_value(node, econtext, &value, &isnull))
				return KafkaRangeAll();
			return isnull ? NIL : array_boxes(node, DatumGetArrayTypeP(value));
		case QUAL_ROW:
			return row_boxes(node, econtext);
		case QUAL_AND:
			boxes = KafkaRangeAll();
			foreach(lc, node->args)
			{
				boxes = KafkaRangeAnd(boxes, kafka_qual_evaluate((QualNode *) lfirst(lc),
																 econtext));
				if (boxes == NIL)
					break;
			}
			return boxes;
		case QUAL_OR:
			boxes = NIL;
			foreach(lc, node->args)
			{
				List	   *arg = kafka_qual_evaluate((QualNode *) lfirst(lc), econtext);

				if (KafkaRangeIsAll(arg))
					return arg;
				boxes = list_concat(boxes, arg);
			}
			return KafkaRangeSimplify(boxes);
	}
	elog(ERROR, "unrecognized kind of condition: %d", (int) node->kind);
	return NIL;
}

List *
KafkaQualEstimate(const KafkaQualColumns *columns, List *clauses, Relids outer)
{
	return kafka_qual_evaluate(kafka_qual_parse(columns, clauses, outer), NULL);
}

static void
init_states(QualNode *node, PlanState *parent)
{
	ListCell   *lc;

	foreach(lc, node->args)
		init_states((QualNode *) lfirst(lc), parent);
	if (node->value != NULL)
		node->state = ExecInitExpr(node->value, parent);
}

KafkaQual *
KafkaQualInit(const KafkaQualColumns *columns, List *clauses, PlanState *parent)
{
	KafkaQual  *qual = palloc(sizeof(KafkaQual));

	/* By now the Vars of other relations have become parameters. */
	qual->root = kafka_qual_parse(columns, clauses, NULL);
	init_states(qual->root, parent);
	return qual;
}

List *
KafkaQualEvaluate(KafkaQual *qual, ExprContext *econtext)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(caller, "kafka_fdw conditions",
											   ALLOCSET_DEFAULT_SIZES);
	List	   *boxes;

	MemoryContextSwitchTo(work);
	boxes = kafka_qual_evaluate(qual->root, econtext);
	MemoryContextSwitchTo(caller);
	boxes = KafkaRangeCopy(boxes);
	MemoryContextDelete(work);
	return boxes;
}
