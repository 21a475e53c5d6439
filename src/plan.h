/*
 * plan.h
 *		Planning of scans: sizes, costs, paths, the plan node and EXPLAIN's lines of it.
 */
#ifndef KAFKA_PLAN_H
#define KAFKA_PLAN_H

#include "commands/explain.h"
#include "foreign/fdwapi.h"

#include "qual.h"

/* The order in which a scan is to come. */
typedef enum KafkaOrder
{
	KAFKA_ORDER_NONE,
	KAFKA_ORDER_ASC,			/* by offset, in one partition */
	KAFKA_ORDER_DESC
} KafkaOrder;

/* ForeignScan.fdw_private, a List; ForeignScan.fdw_exprs has the pushed clauses. */
enum KafkaScanPrivate
{
	KAFKA_SCAN_ORDER,			/* Integer: a KafkaOrder */
	KAFKA_SCAN_ATTRS			/* List of int: attributes for KafkaRowOpenRead */
};

extern bool kafkaIsForeignScanParallelSafe(PlannerInfo *root, RelOptInfo *rel,
										   RangeTblEntry *rte);
extern void kafkaGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid);
extern void kafkaGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid);
extern ForeignScan *kafkaGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid,
										ForeignPath *best_path, List *tlist, List *scan_clauses,
										Plan *outer_plan);

/* EXPLAIN's "Kafka Topic" and "Kafka Ranges" as planned; scan.c adds what ran. */
extern void KafkaPlanExplain(ForeignScanState *node, struct ExplainState *es);

#endif							/* KAFKA_PLAN_H */
