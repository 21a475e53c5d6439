/*
 * import.h
 *		IMPORT FOREIGN SCHEMA: a foreign table for every topic.
 */
#ifndef KAFKA_IMPORT_H
#define KAFKA_IMPORT_H

#include "foreign/fdwapi.h"

extern List *kafkaImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverOid);

#endif							/* KAFKA_IMPORT_H */
