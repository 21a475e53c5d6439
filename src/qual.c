/*
 * qual.c
 *		What a WHERE clause says about partition, offset and timestamp.
 *
 * A clause is first understood: parse_node() makes a small tree of comparisons out of it, without
 * evaluating anything. The tree serves three ends: the planner asks whether there is one, EXPLAIN
 * describes it (qual_describe.c), and the executor evaluates the values in it and gets boxes
 * (qual_evaluate.c). The plan carries whole clauses, which are parsed again as the scan begins, so
 * that no second form of an expression has to survive in it.
 *
 * Everything errs on one side: the boxes hold every message for which the clauses are true, and
 * perhaps others. So in an AND what is not understood is left out, while an OR is understood as a
 * whole or not at all.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "qual_private.h"

/* What a parse needs to know, and what a walker over a value is given. */
typedef struct ParseContext
{
	const KafkaQualColumns *columns;
	Relids		outer;			/* relations whose Vars will be parameters; NULL: none */
} ParseContext;

static QualNode *parse_node(const ParseContext *cxt, Node *node);

#define MILLISECONDS 3			/* the precision, in digits, of a message's timestamp */

/*
 * Only types whose order is that of whole numbers or milliseconds: a column of another type, which
 * may well be allowed, is just not pushed down. Nor is a timestamptz(0), whose values are rounded.
 */
static bool
type_has_dimension(Oid type, int32 typmod, KafkaDimension dim)
{
	type = getBaseTypeAndTypmod(type, &typmod);
	if (dim == KAFKA_DIM_TIMESTAMP)
		return type == TIMESTAMPTZOID && (typmod < 0 || typmod >= MILLISECONDS);
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

void
KafkaQualFindColumns(KafkaQualColumns *columns, Index relid, Oid reloid)
{
	Relation	rel = relation_open(reloid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	KafkaTableFormat format = KafkaOptionTableFormat(reloid);

	memset(columns, 0, sizeof(KafkaQualColumns));
	columns->relid = relid;
	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, attnum - 1);
		KafkaColumn column;
		KafkaDimension dim;

		if (attr->attisdropped)
			continue;
		KafkaOptionGetColumn(reloid, attnum, format, &column);
		switch (column.part)
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
		if (columns->attnum[dim] == 0 &&
			type_has_dimension(attr->atttypid, attr->atttypmod, dim))
			columns->attnum[dim] = attnum;
	}
	relation_close(rel, NoLock);
}

/*
 * Integers may be widened to meet the other side's type (1e6 is a numeric), and a domain is
 * relabelled to its base.
 */
static Node *
strip_casts(Node *expr)
{
	for (;;)
	{
		if (IsA(expr, RelabelType))
		{
			expr = (Node *) ((RelabelType *) expr)->arg;
			continue;
		}
		if (!IsA(expr, FuncExpr))
			return expr;
		switch (((FuncExpr *) expr)->funcid)
		{
			case F_INT4_INT2:
			case F_INT8_INT2:
			case F_INT8_INT4:
			case F_NUMERIC_INT2:
			case F_NUMERIC_INT4:
			case F_NUMERIC_INT8:
				expr = (Node *) linitial(((FuncExpr *) expr)->args);
				break;
			default:
				return expr;
		}
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

/* The strategy of an operator, or of the one it negates, in a type's natural order. */
static StrategyNumber
strategy_in_type(Oid opno, Oid type)
{
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

/*
 * The btree strategy of an operator among a dimension's types, QUAL_NOT_EQUAL, or InvalidStrategy.
 * The families hold the operators between types too: int4 with int8, timestamptz with date and
 * timestamp.
 */
static StrategyNumber
operator_strategy(Oid opno, KafkaDimension dim)
{
	StrategyNumber strategy;

	if (dim == KAFKA_DIM_TIMESTAMP)
		return strategy_in_type(opno, TIMESTAMPTZOID);
	strategy = strategy_in_type(opno, INT8OID);
	return strategy != InvalidStrategy ? strategy : strategy_in_type(opno, NUMERICOID);
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
