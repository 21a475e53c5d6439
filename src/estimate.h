/*
 * estimate.h
 *		How many messages a scan reads, and how many rows come of it, as far as planning knows.
 */
#ifndef KAFKA_ESTIMATE_H
#define KAFKA_ESTIMATE_H

#include "nodes/pathnodes.h"

#include "qual.h"

typedef struct KafkaEstimate KafkaEstimate;

/*
 * What is known of a relation's topic, allocated in the current context; sets rel->tuples. Contacts
 * nobody unless the table says use_remote_estimate.
 */
extern KafkaEstimate *KafkaEstimateOpen(PlannerInfo *root, RelOptInfo *rel,
										const KafkaTable *table,
										const KafkaQualColumns *columns);

/*
 * The messages that a scan under some clauses (a List of RestrictInfo *) reads, and the rows of
 * these that the clauses are true for.
 */
extern void KafkaEstimateScan(KafkaEstimate *estimate, List *clauses, Relids outer,
							  double *messages, double *rows);

/*
 * What it costs, in the planner's units, to receive a message and to make these attributes of it
 * (numbered as pull_varattnos() does).
 */
extern Cost KafkaEstimateMessageCost(const KafkaEstimate *estimate, List *attrs);

#endif							/* KAFKA_ESTIMATE_H */
