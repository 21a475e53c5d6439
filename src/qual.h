/*
 * qual.h
 *		WHERE clauses to boxes of partition, offset and timestamp: what can be pushed down at plan
 *		time, what it comes to at run time.
 */
#ifndef KAFKA_QUAL_H
#define KAFKA_QUAL_H

#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "option.h"
#include "range.h"

/* Which attributes of a relation mean something to Kafka; 0 where no column shows the part. */
typedef struct KafkaQualColumns
{
	Index		relid;			/* the Vars' varno */
	AttrNumber	attnum[KAFKA_DIMENSIONS];
} KafkaQualColumns;

typedef struct KafkaQual KafkaQual;

/* The columns of a relation that conditions are pushed down for. */
extern void KafkaQualFindColumns(KafkaQualColumns *columns, Index relid, Oid reloid);

/*
 * True for an expression that is one of the columns, perhaps under a cast that changes no value;
 * says which.
 */
extern bool KafkaQualIsColumn(const KafkaQualColumns *columns, Node *expr, KafkaDimension *dim);

/*
 * True where a clause bounds what has to be read. Anything but a Var of the relation may stand on
 * the other side of an operator: constants, parameters, stable functions, Vars of other relations
 * where "outer" has them (a parameterized path). Volatile functions and subplans may not.
 */
extern bool KafkaQualIsPushable(const KafkaQualColumns *columns, Expr *clause, Relids outer);

/*
 * True where the clauses fix a dimension to one value, known at run time. With the partition fixed,
 * a scan comes in the order of its offsets.
 */
extern bool KafkaQualFixes(const KafkaQualColumns *columns, List *clauses, Relids outer,
						   KafkaDimension dim);

/* True where a clause bounds nothing but the timestamp, and that from above. */
extern bool KafkaQualIsUpperTime(const KafkaQualColumns *columns, Expr *clause, Relids outer);

/* What can be said at plan time: parameters and functions bound nothing. */
extern List *KafkaQualEstimate(const KafkaQualColumns *columns, List *clauses, Relids outer);

/*
 * Prepare clauses (that IsPushable accepted; their conjunction is meant) for execution.
 */
extern KafkaQual *KafkaQualInit(const KafkaQualColumns *columns, List *clauses,
								PlanState *parent);

/*
 * The boxes at this moment; parameters and stable functions are evaluated in econtext's
 * per-tuple memory. Allocated in the current context.
 */
extern List *KafkaQualEvaluate(KafkaQual *qual, ExprContext *econtext);

/*
 * The ranges of a scan of "table" under the clauses, as EXPLAIN shows them: constants as numbers,
 * parameters as $n, other expressions deparsed; "deparse" prints an expression. One string, such as
 * "0: [100, 200)" or "all: [earliest, snapshot)"; "none" where no message can match.
 */
typedef char *(*KafkaDeparseFn) (Node *expr, void *arg);

extern char *KafkaQualDescribe(const KafkaQualColumns *columns, List *clauses,
							   KafkaDeparseFn deparse, void *arg, const KafkaTable *table);

#endif							/* KAFKA_QUAL_H */
