/*
 * qual.c
 *		What a WHERE clause says about partition, offset and timestamp.
 *
 * A clause is first understood: parse_node() makes a small tree of comparisons out of it, without
 * evaluating anything. The tree serves three ends: the planner asks whether there is one, EXPLAIN
 * describes it, and the executor evaluates the values in it and gets boxes. The plan carries whole
 * clauses, which are parsed again as the scan begins, so that no second form of an expression has
 * to survive in it.
 *
 * Everything errs on one side: the boxes hold every message for which the clauses are true, and
 * perhaps others. So in an AND what is not understood is left out, while an OR is understood as a
 * whole or not at all. NULL needs no third value, since a clause selects only what it is true for:
 * comparing with NULL gives no box.
 *
 * All values become whole numbers. Those of a timestamp are milliseconds, which is what Kafka
 * stores and what a column shows, while a value compared with it may lie between two of them: see
 * ValueBound.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "message.h"
#include "qual_private.h"

#define EPOCH_DIFFERENCE_MS (KAFKA_EPOCH_DIFFERENCE_US / 1000)

struct KafkaQual
{
	QualNode   *root;
};

/* What a parse needs to know, and what a walker over a value is given. */
typedef struct ParseContext
{
	const KafkaQualColumns *columns;
	Relids		outer;			/* relations whose Vars will be parameters; NULL: none */
} ParseContext;

/* A value as a bound on whole numbers: floor(value), and whether that is the value itself. */
typedef struct ValueBound
{
	int64		floor;
	bool		exact;
	int			infinite;		/* -1, 0 or 1; the others mean nothing then */
} ValueBound;

static QualNode *parse_node(const ParseContext *cxt, Node *node);

/*
 * Only types whose order is that of whole numbers or milliseconds: a column of another type, which
 * may well be allowed, is just not pushed down.
 */
static bool
type_has_dimension(Oid type, KafkaDimension dim)
{
	type = getBaseType(type);
	if (dim == KAFKA_DIM_TIMESTAMP)
		return type == TIMESTAMPTZOID;
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

void
KafkaQualFindColumns(KafkaQualColumns *columns, Index relid, Oid reloid)
{
	Relation	rel = relation_open(reloid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);

	memset(columns, 0, sizeof(KafkaQualColumns));
	columns->relid = relid;
	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, attnum - 1);
		KafkaDimension dim;

		if (attr->attisdropped)
			continue;
		switch (KafkaOptionColumnPart(reloid, attnum))
		{
			case KAFKA_PART_PARTITION:
				dim = KAFKA_DIM_PARTITION;
				break;
			case KAFKA_PART_OFFSET:
				dim = KAFKA_DIM_OFFSET;
				break;
			case KAFKA_PART_TIMESTAMP:
				dim = KAFKA_DIM_TIMESTAMP;
				break;
			default:
				continue;
		}
		if (columns->attnum[dim] == 0 && type_has_dimension(attr->atttypid, dim))
			columns->attnum[dim] = attnum;
	}
	relation_close(rel, NoLock);
}

/* Integers may be widened to meet the other side's type, and a domain is relabelled to its base. */
static Node *
strip_casts(Node *expr)
{
	for (;;)
	{
		if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, FuncExpr) && (((FuncExpr *) expr)->funcid == F_INT8_INT4 ||
										 ((FuncExpr *) expr)->funcid == F_INT8_INT2 ||
										 ((FuncExpr *) expr)->funcid == F_INT4_INT2))
			expr = (Node *) linitial(((FuncExpr *) expr)->args);
		else
			return expr;
	}
}

bool
KafkaQualIsColumn(const KafkaQualColumns *columns, Node *expr, KafkaDimension *dim)
{
	Var		   *var = (Var *) strip_casts(expr);

	if (!IsA(var, Var) || var->varno != columns->relid || var->varlevelsup != 0 ||
		var->varattno <= 0)
		return false;
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		if (columns->attnum[d] == var->varattno)
		{
			*dim = (KafkaDimension) d;
			return true;
		}
	}
	return false;
}

/*
 * True where an expression holds what is not a value for the whole of a scan: a column of the
 * relation itself or of one that is not at hand, or a subplan, which cannot be run out of its place
 * in the plan. A placeholder is at hand where the syntax puts it into the other relations.
 */
static bool
not_a_value_walker(Node *node, void *context)
{
	const ParseContext *cxt = (const ParseContext *) context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		return var->varlevelsup != 0 || var->varno == cxt->columns->relid ||
			!bms_is_member(var->varno, cxt->outer);
	}
	if (IsA(node, PlaceHolderVar))
	{
		PlaceHolderVar *phv = (PlaceHolderVar *) node;

		return phv->phlevelsup != 0 || !bms_is_subset(phv->phrels, cxt->outer);
	}
	if (IsA(node, Param))
	{
		ParamKind	kind = ((Param *) node)->paramkind;

		return kind != PARAM_EXTERN && kind != PARAM_EXEC;
	}
	switch (nodeTag(node))
	{
		case T_SubLink:
		case T_SubPlan:
		case T_AlternativeSubPlan:
		case T_CurrentOfExpr:
		case T_Aggref:
		case T_GroupingFunc:
		case T_WindowFunc:
			return true;
		default:
			return expression_tree_walker(node, not_a_value_walker, context);
	}
}

/* True for an expression that is computed once for a scan. */
static bool
is_value(const ParseContext *cxt, Node *expr)
{
	return !not_a_value_walker(expr, (void *) cxt) && !contain_volatile_functions(expr);
}

/*
 * The btree strategy of an operator in the natural order of a dimension's types, QUAL_NOT_EQUAL,
 * or InvalidStrategy. The family holds the operators between types too: int4 with int8, timestamptz
 * with date and timestamp.
 */
static StrategyNumber
operator_strategy(Oid opno, KafkaDimension dim)
{
	Oid			type = dim == KAFKA_DIM_TIMESTAMP ? TIMESTAMPTZOID : INT8OID;
	Oid			family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	int			strategy = get_op_opfamily_strategy(opno, family);
	Oid			negator;

	if (strategy != 0)
		return (StrategyNumber) strategy;
	negator = get_negator(opno);
	if (OidIsValid(negator) &&
		get_op_opfamily_strategy(negator, family) == BTEqualStrategyNumber)
		return QUAL_NOT_EQUAL;
	return InvalidStrategy;
}

/* The strategy that says the same with the sides exchanged. */
static StrategyNumber
commute_strategy(StrategyNumber strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return BTGreaterStrategyNumber;
		case BTLessEqualStrategyNumber:
			return BTGreaterEqualStrategyNumber;
		case BTGreaterEqualStrategyNumber:
			return BTLessEqualStrategyNumber;
		case BTGreaterStrategyNumber:
			return BTLessStrategyNumber;
		default:
			return strategy;
	}
}

/* The strategy that is true where the given one is false. */
static StrategyNumber
negate_strategy(StrategyNumber strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return BTGreaterEqualStrategyNumber;
		case BTLessEqualStrategyNumber:
			return BTGreaterStrategyNumber;
		case BTGreaterEqualStrategyNumber:
			return BTLessStrategyNumber;
		case BTGreaterStrategyNumber:
			return BTLessEqualStrategyNumber;
		default:
			return InvalidStrategy;
	}
}

StrategyNumber
kafka_qual_strict_strategy(StrategyNumber strategy)
{
	switch (strategy)
	{
		case BTLessEqualStrategyNumber:
			return BTLessStrategyNumber;
		case BTGreaterEqualStrategyNumber:
			return BTGreaterStrategyNumber;
		default:
			return strategy;
	}
}

static QualNode *
make_node(QualKind kind)
{
	QualNode   *node = palloc0(sizeof(QualNode));

	node->kind = kind;
	return node;
}

/*
 * One comparison of a column with a value, either way round, or NULL. A column that is not equal to
 * something leaves two ranges with one message between them: worth it for partitions alone.
 */
static QualNode *
parse_comparison(const ParseContext *cxt, Oid opno, Node *left, Node *right)
{
	QualNode   *node = make_node(QUAL_COMPARE);
	Oid			lefttype;
	Oid			righttype;
	Node	   *value;
	bool		swapped = false;

	if (KafkaQualIsColumn(cxt->columns, left, &node->dim))
		value = right;
	else if (KafkaQualIsColumn(cxt->columns, right, &node->dim))
	{
		value = left;
		swapped = true;
	}
	else
		return NULL;

	node->strategy = operator_strategy(opno, node->dim);
	if (node->strategy == InvalidStrategy ||
		(node->strategy == QUAL_NOT_EQUAL && node->dim != KAFKA_DIM_PARTITION) ||
		!is_value(cxt, value))
		return NULL;
	if (swapped)
		node->strategy = commute_strategy(node->strategy);
	op_input_types(opno, &lefttype, &righttype);
	node->type = swapped ? lefttype : righttype;
	node->value = (Expr *) value;
	return node;
}

/* column operator ANY (array), or ALL; IN and NOT IN come as these. */
static QualNode *
parse_array(const ParseContext *cxt, ScalarArrayOpExpr *expr)
{
	QualNode   *node = parse_comparison(cxt, expr->opno, (Node *) linitial(expr->args),
										(Node *) lsecond(expr->args));

	if (node == NULL)
		return NULL;
	if (node->value != (Expr *) lsecond(expr->args))
		return NULL;			/* value operator ANY (array of columns) */
	node->kind = QUAL_ARRAY;
	node->all = !expr->useOr;
	return node;
}

/*
 * A row comparison is decided by the first pair that differs, so that what is known of its leading
 * columns bounds it whatever follows them. Its operators all have the comparison's own strategy.
 */
static QualNode *
parse_row(const ParseContext *cxt, RowCompareExpr *expr, bool negated)
{
	QualNode   *node = make_node(QUAL_ROW);
	ListCell   *larg;
	ListCell   *rarg;
	ListCell   *opno;

	forthree(larg, expr->largs, rarg, expr->rargs, opno, expr->opnos)
	{
		QualNode   *pair = parse_comparison(cxt, lfirst_oid(opno), (Node *) lfirst(larg),
											(Node *) lfirst(rarg));

		if (pair == NULL)
		{
			node->partial = true;
			break;
		}
		if (negated)
			pair->strategy = negate_strategy(pair->strategy);
		node->args = lappend(node->args, pair);
	}
	return node->args == NIL ? NULL : node;
}

/* AND: what is understood of it. OR: all of it, or nothing. */
static QualNode *
parse_bool(const ParseContext *cxt, BoolExpr *expr)
{
	QualNode   *node;
	ListCell   *lc;

	if (expr->boolop == NOT_EXPR)
	{
		/* The planner leaves a NOT only where an operator has no negator. */
		Node	   *arg = (Node *) linitial(expr->args);

		return IsA(arg, RowCompareExpr) ? parse_row(cxt, (RowCompareExpr *) arg, true) : NULL;
	}

	node = make_node(expr->boolop == AND_EXPR ? QUAL_AND : QUAL_OR);
	foreach(lc, expr->args)
	{
		QualNode   *arg = parse_node(cxt, (Node *) lfirst(lc));

		if (arg != NULL)
			node->args = lappend(node->args, arg);
		else if (expr->boolop == OR_EXPR)
			return NULL;
	}
	return node->args == NIL ? NULL : node;
}

/* A boolean expression, or NULL where it says nothing. */
static QualNode *
parse_node(const ParseContext *cxt, Node *expr)
{
	QualNode   *node = NULL;
	KafkaDimension dim;

	check_stack_depth();
	switch (nodeTag(expr))
	{
		case T_BoolExpr:
			node = parse_bool(cxt, (BoolExpr *) expr);
			break;
		case T_OpExpr:
			if (list_length(((OpExpr *) expr)->args) == 2)
				node = parse_comparison(cxt, ((OpExpr *) expr)->opno,
										(Node *) linitial(((OpExpr *) expr)->args),
										(Node *) lsecond(((OpExpr *) expr)->args));
			break;
		case T_ScalarArrayOpExpr:
			node = parse_array(cxt, (ScalarArrayOpExpr *) expr);
			break;
		case T_RowCompareExpr:
			node = parse_row(cxt, (RowCompareExpr *) expr, false);
			break;
		case T_BooleanTest:
			if (((BooleanTest *) expr)->booltesttype == IS_TRUE)
				node = parse_node(cxt, (Node *) ((BooleanTest *) expr)->arg);
			break;
		case T_NullTest:
			/* Every message has a partition and an offset, while some have no timestamp. */
			if (((NullTest *) expr)->nulltesttype == IS_NULL &&
				KafkaQualIsColumn(cxt->columns, (Node *) ((NullTest *) expr)->arg, &dim) &&
				dim != KAFKA_DIM_TIMESTAMP)
				node = make_node(QUAL_NEVER);
			break;
		default:
			break;
	}

	/* As in ($1 IS NULL OR "offset" > $1): known as the scan starts, if not before. */
	if (node == NULL && is_value(cxt, expr))
	{
		node = make_node(QUAL_TEST);
		node->value = (Expr *) expr;
	}
	return node;
}

/* True where a node says something of the relation. */
static bool
concerns_column(QualNode *node)
{
	ListCell   *lc;

	if (node->kind == QUAL_TEST)
		return false;
	if (node->kind != QUAL_AND && node->kind != QUAL_OR)
		return true;
	foreach(lc, node->args)
	{
		if (concerns_column((QualNode *) lfirst(lc)))
			return true;
	}
	return false;
}

QualNode *
kafka_qual_parse(const KafkaQualColumns *columns, List *clauses, Relids outer)
{
	QualNode   *root = make_node(QUAL_AND);
	ParseContext cxt;
	ListCell   *lc;

	cxt.columns = columns;
	cxt.outer = outer;
	foreach(lc, clauses)
	{
		QualNode   *node = parse_node(&cxt, (Node *) lfirst(lc));

		if (node != NULL && concerns_column(node))
			root->args = lappend(root->args, node);
	}
	return root;
}

bool
KafkaQualIsPushable(const KafkaQualColumns *columns, Expr *clause, Relids outer)
{
	return kafka_qual_parse(columns, list_make1(clause), outer)->args != NIL;
}

bool
KafkaQualFixes(const KafkaQualColumns *columns, List *clauses, Relids outer, KafkaDimension dim)
{
	QualNode   *root = kafka_qual_parse(columns, clauses, outer);
	List	   *boxes;
	int64		value;
	ListCell   *lc;

	foreach(lc, root->args)
	{
		QualNode   *node = (QualNode *) lfirst(lc);

		if (node->kind == QUAL_COMPARE && node->dim == dim &&
			node->strategy == BTEqualStrategyNumber)
			return true;
	}

	/* In other words, as partition < 1, or an OR of conditions that all have one partition. */
	boxes = kafka_qual_evaluate(root, NULL);
	if (boxes == NIL)
		return false;
	value = ((KafkaBox *) linitial(boxes))->dim[dim].hi - 1;
	foreach(lc, boxes)
	{
		KafkaInterval *interval = &((KafkaBox *) lfirst(lc))->dim[dim];
		int64		lo = dim == KAFKA_DIM_TIMESTAMP ? interval->lo : Max(interval->lo, 0);

		if (interval->hi == PG_INT64_MAX || interval->hi - 1 != value || lo != value)
			return false;
	}
	return true;
}

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
