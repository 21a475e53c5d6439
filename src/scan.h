/*
 * scan.h
 *		Execution of scans.
 */
#ifndef KAFKA_SCAN_H
#define KAFKA_SCAN_H

#include "commands/explain.h"
#include "foreign/fdwapi.h"

extern void kafkaBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *kafkaIterateForeignScan(ForeignScanState *node);
extern void kafkaReScanForeignScan(ForeignScanState *node);
extern void kafkaEndForeignScan(ForeignScanState *node);
extern void kafkaExplainForeignScan(ForeignScanState *node, struct ExplainState *es);

#endif							/* KAFKA_SCAN_H */
