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

#endif							/* KAFKA_SCAN_H */
