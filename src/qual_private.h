/*
 * qual_private.h
 *		A clause as qual.c understood it, shared with the files that evaluate and describe it.
 */
#ifndef KAFKA_QUAL_PRIVATE_H
#define KAFKA_QUAL_PRIVATE_H

#include "access/stratnum.h"

#include "qual.h"

/* <>, beside the strategies of a btree */
#define QUAL_NOT_EQUAL (BTMaxStrategyNumber + 1)

typedef enum QualKind
{
	QUAL_NEVER,					/* cannot be true */
	QUAL_TEST,					/* a boolean expression in which the relation does not occur */
	QUAL_COMPARE,				/* column operator value */
	QUAL_ARRAY,					/* column operator ANY or ALL (array) */
	QUAL_ROW,					/* (column, ...) operator (value, ...) */
	QUAL_AND,
	QUAL_OR
} QualKind;

/* A clause or a part of it, with all left out that bounds nothing. */
typedef struct QualNode
{
	QualKind	kind;
	List	   *args;			/* AND, OR: nodes; ROW: the leading columns, each a COMPARE */
	bool		partial;		/* ROW: further columns follow, of which nothing is known */
	KafkaDimension dim;			/* COMPARE, ARRAY */
	StrategyNumber strategy;	/* COMPARE, ARRAY: with the column on the left */
	bool		all;			/* ARRAY: ALL, not ANY */
	Oid			type;			/* COMPARE, ARRAY: of the value, or of the array's elements */
	Expr	   *value;			/* COMPARE, ARRAY, TEST */
	ExprState  *state;			/* the same, ready to run; NULL outside of execution */
} QualNode;

/* The conjunction of what can be pushed of the clauses; what cannot is left out. */
extern QualNode *kafka_qual_parse(const KafkaQualColumns *columns, List *clauses, Relids outer);

/*
 * The boxes of a node. Without an econtext only constants are known, and what is not known bounds
 * nothing.
 */
extern List *kafka_qual_evaluate(QualNode *node, ExprContext *econtext);

/* True where every value in the node is a constant. */
extern bool kafka_qual_is_constant(QualNode *node);

/* The strategy of all columns of a row comparison before the last. */
extern StrategyNumber kafka_qual_strict_strategy(StrategyNumber strategy);

#endif							/* KAFKA_QUAL_PRIVATE_H */
