/*
 * kafka_fdw.c
 *		The module's entry: magic block, _PG_init, and the handler that names the callbacks.
 *
 * Everything else is under src/; docs/internals.md says which file does what.
 */
#include "postgres.h"

#include "fmgr.h"
#include "foreign/fdwapi.h"

#include "src/analyze.h"
#include "src/import.h"
#include "src/modify.h"
#include "src/module.h"
#include "src/plan.h"
#include "src/scan.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(kafka_fdw_handler);

/* Settings first: the other modules may read them. */
void
_PG_init(void)
{
	KafkaSettingInit();
	KafkaConnectionInit();
	KafkaPendingInit();
	KafkaOutboxInit();
	KafkaLauncherInit();
	KafkaSubscriptionInit();
}

/* The callbacks, in the order in which a statement meets them. */
Datum
kafka_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	/* SELECT */
	routine->GetForeignRelSize = kafkaGetForeignRelSize;
	routine->GetForeignPaths = kafkaGetForeignPaths;
	routine->GetForeignPlan = kafkaGetForeignPlan;
	routine->BeginForeignScan = kafkaBeginForeignScan;
	routine->IterateForeignScan = kafkaIterateForeignScan;
	routine->ReScanForeignScan = kafkaReScanForeignScan;
	routine->EndForeignScan = kafkaEndForeignScan;
	routine->ExplainForeignScan = kafkaExplainForeignScan;

	/* SELECT by several processes */
	routine->IsForeignScanParallelSafe = kafkaIsForeignScanParallelSafe;
	routine->EstimateDSMForeignScan = kafkaEstimateDSMForeignScan;
	routine->InitializeDSMForeignScan = kafkaInitializeDSMForeignScan;
	routine->ReInitializeDSMForeignScan = kafkaReInitializeDSMForeignScan;
	routine->InitializeWorkerForeignScan = kafkaInitializeWorkerForeignScan;
	routine->ShutdownForeignScan = kafkaShutdownForeignScan;

	/* INSERT, COPY FROM, and refusals of what a log cannot do */
	routine->IsForeignRelUpdatable = kafkaIsForeignRelUpdatable;
	routine->AddForeignUpdateTargets = kafkaAddForeignUpdateTargets;
	routine->PlanForeignModify = kafkaPlanForeignModify;
	routine->BeginForeignModify = kafkaBeginForeignModify;
	routine->ExecForeignInsert = kafkaExecForeignInsert;
	routine->ExecForeignBatchInsert = kafkaExecForeignBatchInsert;
	routine->GetForeignModifyBatchSize = kafkaGetForeignModifyBatchSize;
	routine->EndForeignModify = kafkaEndForeignModify;
	routine->BeginForeignInsert = kafkaBeginForeignInsert;
	routine->EndForeignInsert = kafkaEndForeignInsert;
	routine->ExecForeignTruncate = kafkaExecForeignTruncate;
	routine->ExplainForeignModify = kafkaExplainForeignModify;

	/* ANALYZE */
	routine->AnalyzeForeignTable = kafkaAnalyzeForeignTable;

	/* IMPORT FOREIGN SCHEMA */
	routine->ImportForeignSchema = kafkaImportForeignSchema;

	PG_RETURN_POINTER(routine);
}
