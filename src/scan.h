/*
 * scan.h
 *		Execution of scans.
 */
#ifndef KAFKA_SCAN_H
#define KAFKA_SCAN_H

#include "access/parallel.h"
#include "commands/explain.h"
#include "foreign/fdwapi.h"

extern void kafkaBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *kafkaIterateForeignScan(ForeignScanState *node);
extern void kafkaReScanForeignScan(ForeignScanState *node);
extern void kafkaEndForeignScan(ForeignScanState *node);

/* The same by several processes. */
extern Size kafkaEstimateDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt);
extern void kafkaInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt,
										  void *coordinate);
extern void kafkaReInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt,
											void *coordinate);
extern void kafkaInitializeWorkerForeignScan(ForeignScanState *node, shm_toc *toc,
											 void *coordinate);
extern void kafkaShutdownForeignScan(ForeignScanState *node);

extern void kafkaExplainForeignScan(ForeignScanState *node, struct ExplainState *es);

/*
 * Before anything is sent to a topic: scans of it that have begun in this session, and that have
 * not come to their first row, take their ends now.
 */
extern void KafkaScanFixEnds(const char *topic);

#endif							/* KAFKA_SCAN_H */
