/*
 * plan_parallel.h
 *		The path of a scan that several processes share.
 */
#ifndef KAFKA_PLAN_PARALLEL_H
#define KAFKA_PLAN_PARALLEL_H

#include "nodes/pathnodes.h"

#include "option.h"

/*
 * Add a path for a scan that costs so much by itself, if it is worth it: workers are as many as its
 * size asks for.
 */
extern void KafkaPlanAddPartialPath(PlannerInfo *root, RelOptInfo *rel, const KafkaTable *table,
									Cost startup, Cost total, List *fdw_private);

#endif							/* KAFKA_PLAN_PARALLEL_H */
