/*
 * modify.h
 *		INSERT, COPY FROM and partition routing into a foreign table.
 */
#ifndef KAFKA_MODIFY_H
#define KAFKA_MODIFY_H

#include "foreign/fdwapi.h"

extern int	kafkaIsForeignRelUpdatable(Relation rel);
extern void kafkaAddForeignUpdateTargets(PlannerInfo *root, Index rtindex,
										 RangeTblEntry *target_rte, Relation target_relation);
extern List *kafkaPlanForeignModify(PlannerInfo *root, ModifyTable *plan, Index resultRelation,
									int subplan_index);
extern void kafkaBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
									List *fdw_private, int subplan_index, int eflags);
extern TupleTableSlot *kafkaExecForeignInsert(EState *estate, ResultRelInfo *rinfo,
											  TupleTableSlot *slot, TupleTableSlot *planSlot);
extern TupleTableSlot **kafkaExecForeignBatchInsert(EState *estate, ResultRelInfo *rinfo,
													TupleTableSlot **slots,
													TupleTableSlot **planSlots, int *numSlots);
extern int	kafkaGetForeignModifyBatchSize(ResultRelInfo *rinfo);
extern void kafkaEndForeignModify(EState *estate, ResultRelInfo *rinfo);
extern void kafkaBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo);
extern void kafkaEndForeignInsert(EState *estate, ResultRelInfo *rinfo);
extern void kafkaExplainForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
									  List *fdw_private, int subplan_index,
									  struct ExplainState *es);
extern void kafkaExecForeignTruncate(List *rels, DropBehavior behavior, bool restart_seqs);

#endif							/* KAFKA_MODIFY_H */
