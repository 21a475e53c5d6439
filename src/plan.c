/*
 * plan.c
 *		Planning of a scan: its size, its paths, its plan node, and what EXPLAIN says of that.
 *
 * Planning contacts nobody, so that EXPLAIN works and is quick whatever Kafka does, unless the
 * table says use_remote_estimate. What a scan reads and returns is estimate.c's.
 *
 * Three kinds of path. The plain one. One in the order of the offsets, ascending and descending,
 * where the clauses fix the partition: an offset is unique in a partition, and there messages come
 * in its order. And parameterized ones, for joins by partition, offset or timestamp.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/selfuncs.h"
#include "utils/typcache.h"

#include "compat.h"
#include "estimate.h"
#include "plan.h"
#include "plan_parallel.h"

/*
 * In the planner's units. A scan's start takes 1 to 3 ms and a message half a microsecond, which
 * would be more for the start; but too many starts cost less than a topic read for nothing.
 */
#define START_COST 50.0

/* What is kept of a relation between the callbacks: RelOptInfo.fdw_private. */
typedef struct KafkaPlanInfo
{
	KafkaTable *table;
	KafkaQualColumns columns;
	KafkaEstimate *estimate;
	double		messages;		/* read by a scan under the relation's own clauses */
	Cost		message_cost;	/* of each */
} KafkaPlanInfo;

/* Of the clauses, those that bound what has to be read. */
static List *
pushable_clauses(KafkaPlanInfo *info, List *clauses, Relids outer)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (KafkaQualIsPushable(&info->columns, (Expr *) lfirst(lc), outer))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/*
 * The attributes that the scan has to make, in the numbering of pull_varattnos(). The target list
 * that the planner hands in may name them all, for its own convenience; the relation's own does
 * not.
 */
static List *
used_attributes(RelOptInfo *rel, List *scan_clauses)
{
	Bitmapset  *used = NULL;
	List	   *attrs = NIL;
	int			member = -1;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	pull_varattnos((Node *) scan_clauses, rel->relid, &used);
	while ((member = bms_next_member(used, member)) >= 0)
		attrs = lappend_int(attrs, member);
	return attrs;
}

void
kafkaGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	KafkaPlanInfo *info = palloc0(sizeof(KafkaPlanInfo));
	List	   *clauses;

	info->table = KafkaOptionGetTable(foreigntableid, kafka_plan_user(root, baserel));
	KafkaQualFindColumns(&info->columns, baserel->relid, foreigntableid);
	baserel->fdw_private = info;

	info->estimate = KafkaEstimateOpen(root, baserel, info->table, &info->columns);

	/* This sets width and restriction cost too; of the rows we know better. */
	set_baserel_size_estimates(root, baserel);
	KafkaEstimateScan(info->estimate, baserel->baserestrictinfo, NULL, &info->messages,
					  &baserel->rows);
	clauses = extract_actual_clauses(baserel->baserestrictinfo, false);
	info->message_cost = KafkaEstimateMessageCost(info->estimate,
												  used_attributes(baserel, clauses));
}

/*
 * The cost of a scan that reads so many messages and passes so many rows; restriction is that of
 * its clauses.
 */
static void
cost_scan(RelOptInfo *rel, double messages, double rows, QualCost restriction, Cost *startup,
		  Cost *total)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) rel->fdw_private;

	*startup = START_COST + restriction.startup + rel->reltarget->cost.startup;
	*total = *startup + messages * (info->message_cost + cpu_tuple_cost + restriction.per_tuple) +
		rows * rel->reltarget->cost.per_tuple;
}

static List *
order_private(KafkaOrder order)
{
	return list_make1(makeInteger(order));
}

/* True where some member of an equivalence class is the relation's "offset". */
static bool
class_has_offset(EquivalenceClass *ec, RelOptInfo *rel, const KafkaQualColumns *columns)
{
	ListCell   *lc;

	if (ec->ec_has_volatile)
		return false;
	foreach(lc, ec->ec_members)
	{
		EquivalenceMember *em = (EquivalenceMember *) lfirst(lc);
		KafkaDimension dim;

		/* Not another relation's, nor a parent's where this is a partition. */
		if (bms_equal(em->em_relids, rel->relids) &&
			KafkaQualIsColumn(columns, (Node *) em->em_expr, &dim) && dim == KAFKA_DIM_OFFSET)
			return true;
	}
	return false;
}

/*
 * Paths in the order of "offset", if the query asks for it. Only the first key counts, since no two
 * messages of a partition share it; partition = ... itself is a constant, and no key any more. That
 * NULLs come first or last makes no difference to a column that has none. A tail has no end to read
 * back from.
 */
static void
add_ordered_path(PlannerInfo *root, RelOptInfo *rel, Cost startup, Cost total)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) rel->fdw_private;
	PathKey    *key;
	bool		descending;

	if (root->query_pathkeys == NIL)
		return;
	key = (PathKey *) linitial(root->query_pathkeys);
	if (key->pk_opfamily != lookup_type_cache(INT8OID, TYPECACHE_BTREE_OPFAMILY)->btree_opf ||
		!class_has_offset(key->pk_eclass, rel, &info->columns) ||
		!KafkaQualFixes(&info->columns, extract_actual_clauses(rel->baserestrictinfo, false), NULL,
						KAFKA_DIM_PARTITION))
		return;
	descending = kafka_pathkey_is_descending(key);
	if (descending && info->table->wait_timeout != 0)
		return;
	add_path(rel, (Path *)
			 kafka_create_scan_path(root, rel, rel->rows, startup, total, list_make1(key),
									rel->lateral_relids,
									order_private(descending ? KAFKA_ORDER_DESC
												  : KAFKA_ORDER_ASC)));
}

/* For generate_implied_equalities_for_column(): is this member the column that arg names? */
static bool
member_is_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em,
				 void *arg)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) rel->fdw_private;
	KafkaDimension dim;

	return KafkaQualIsColumn(&info->columns, (Node *) em->em_expr, &dim) &&
		dim == *(KafkaDimension *) arg;
}

/*
 * Add to the list of parameterizations one for a join clause, if, given the clause's other
 * relations, it bounds what has to be read.
 */
static List *
consider_join_clause(RelOptInfo *rel, List *parameterizations, RestrictInfo *rinfo)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) rel->fdw_private;
	Relids		outer = bms_del_member(bms_union(rinfo->clause_relids, rel->lateral_relids),
									   rel->relid);
	ListCell   *lc;

	if (bms_is_empty(outer) || !join_clause_is_movable_to(rinfo, rel) ||
		!KafkaQualIsPushable(&info->columns, rinfo->clause, outer))
		return parameterizations;
	foreach(lc, parameterizations)
	{
		if (bms_equal((Relids) lfirst(lc), outer))
			return parameterizations;
	}
	return lappend(parameterizations, outer);
}

/* A scan that starts anew for each combination of rows of the outer relations. */
static void
add_parameterized_path(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) rel->fdw_private;
	ParamPathInfo *param = get_baserel_parampathinfo(root, rel, outer);
	List	   *clauses = list_concat_copy(param->ppi_clauses, rel->baserestrictinfo);
	double		messages;
	double		rows;
	QualCost	restriction;
	Cost		startup;
	Cost		total;

	/* All paths of one parameterization have to agree on the rows. */
	KafkaEstimateScan(info->estimate, clauses, outer, &messages, &rows);
	param->ppi_rows = Min(rows, rel->rows);
	cost_qual_eval(&restriction, param->ppi_clauses, root);
	restriction.startup += rel->baserestrictcost.startup;
	restriction.per_tuple += rel->baserestrictcost.per_tuple;
	cost_scan(rel, messages, param->ppi_rows, restriction, &startup, &total);
	add_path(rel, (Path *)
			 kafka_create_scan_path(root, rel, param->ppi_rows, startup, total, NIL, outer,
									order_private(KAFKA_ORDER_NONE)));
}

/*
 * Parameterized paths: for the outer relations of each join clause, and for all of them at once,
 * as where the partition comes from one relation and the offset from another.
 */
static void
add_parameterized_paths(PlannerInfo *root, RelOptInfo *rel)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) rel->fdw_private;
	List	   *parameterizations = NIL;
	Relids		together = NULL;
	ListCell   *lc;

	foreach(lc, rel->joininfo)
		parameterizations = consider_join_clause(rel, parameterizations,
												 lfirst_node(RestrictInfo, lc));

	/* Equalities are kept in classes, from which clauses are made as they are asked for. */
	for (int d = 0; rel->has_eclass_joins && d < KAFKA_DIMENSIONS; d++)
	{
		KafkaDimension dim = (KafkaDimension) d;
		List	   *clauses;

		if (info->columns.attnum[d] == 0)
			continue;
		clauses = generate_implied_equalities_for_column(root, rel, member_is_column, &dim,
														 rel->lateral_referencers);
		foreach(lc, clauses)
			parameterizations = consider_join_clause(rel, parameterizations,
													 lfirst_node(RestrictInfo, lc));
	}

	foreach(lc, parameterizations)
	{
		together = bms_add_members(together, (Relids) lfirst(lc));
		add_parameterized_path(root, rel, (Relids) lfirst(lc));
	}
	foreach(lc, parameterizations)
	{
		if (bms_equal((Relids) lfirst(lc), together))
			return;
	}
	if (together != NULL)
		add_parameterized_path(root, rel, together);
}

void
kafkaGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) baserel->fdw_private;
	Cost		startup;
	Cost		total;

	cost_scan(baserel, info->messages, baserel->rows, baserel->baserestrictcost, &startup, &total);
	add_path(baserel, (Path *)
			 kafka_create_scan_path(root, baserel, baserel->rows, startup, total, NIL,
									baserel->lateral_relids, order_private(KAFKA_ORDER_NONE)));
	add_ordered_path(root, baserel, startup, total);
	KafkaPlanAddPartialPath(root, baserel, info->table, startup, total,
							order_private(KAFKA_ORDER_NONE));
	add_parameterized_paths(root, baserel);
}

/*
 * All clauses stay in the node, to be checked on each row: those that were pushed down are copied
 * to fdw_exprs, where the executor finds them with their parameters in place.
 */
ForeignScan *
kafkaGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid,
					ForeignPath *best_path, List *tlist, List *scan_clauses, Plan *outer_plan)
{
	KafkaPlanInfo *info = (KafkaPlanInfo *) baserel->fdw_private;
	Relids		outer = PATH_REQ_OUTER(&best_path->path);
	List	   *private;

	scan_clauses = extract_actual_clauses(scan_clauses, false);
	private = list_make2(linitial(best_path->fdw_private), used_attributes(baserel, scan_clauses));
	return make_foreignscan(tlist, scan_clauses, baserel->relid,
							pushable_clauses(info, scan_clauses, outer), private, NIL, NIL,
							outer_plan);
}

/* Parameters, whoever sets them, as those that come from outside. */
static Node *
as_external(Node *node, void *context)
{
	Param	   *param;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Param))
		return expression_tree_mutator(node, as_external, context);
	param = copyObject((Param *) node);
	param->paramkind = PARAM_EXTERN;
	return (Node *) param;
}

/*
 * A KafkaDeparseFn; arg is the context of deparse_expression(). Other nodes' parameters are shown by
 * their numbers: which node sets one is said by its ancestors, of whom nobody tells us, and
 * PostgreSQL asserts from 18 on that it finds them.
 */
static char *
deparse_value(Node *expr, void *arg)
{
	return deparse_expression(as_external(expr, NULL), (List *) arg, true, false);
}

void
KafkaPlanExplain(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	Oid			relid = RelationGetRelid(node->ss.ss_currentRelation);
	KafkaTable *table = KafkaOptionGetTable(relid, kafka_scan_user(node));
	List	   *context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan, NIL);
	KafkaQualColumns columns;

	KafkaQualFindColumns(&columns, plan->scan.scanrelid, relid);
	ExplainPropertyText("Kafka Topic", table->topic, es);
	ExplainPropertyText("Kafka Ranges",
						KafkaQualDescribe(&columns, plan->fdw_exprs, deparse_value, context,
										  table), es);
}
