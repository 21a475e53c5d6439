/*
 * analyze.h
 *		ANALYZE of a foreign table.
 */
#ifndef KAFKA_ANALYZE_H
#define KAFKA_ANALYZE_H

#include "foreign/fdwapi.h"

extern bool kafkaAnalyzeForeignTable(Relation relation, AcquireSampleRowsFunc *func,
									 BlockNumber *totalpages);

#endif							/* KAFKA_ANALYZE_H */
