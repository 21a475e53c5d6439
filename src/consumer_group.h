/*
 * consumer_group.h
 *		Offsets committed to a consumer group, for those who watch it.
 */
#ifndef KAFKA_CONSUMER_GROUP_H
#define KAFKA_CONSUMER_GROUP_H

#include "option.h"

typedef struct KafkaGroup KafkaGroup;

/*
 * A group of a server, to which offsets of one topic go; allocated in the current context, whose reset
 * gives everything back. Needs a transaction; contacts nobody.
 */
extern KafkaGroup *KafkaGroupOpen(const KafkaServer *server, const char *group, const char *topic);

/* Have an offset committed, soon. */
extern void KafkaGroupSet(KafkaGroup *group, int32 partition, int64 offset);

/*
 * Take the answer to the last commit, and send the next one where it is time for that. Does not wait, and
 * raises nothing that Kafka says. True where commits have begun to fail, or to succeed again.
 */
extern bool KafkaGroupServe(KafkaGroup *group);

/* Why the last commit failed, with a hint; NULL: it did not. */
extern const char *KafkaGroupFailure(const KafkaGroup *group);

/* In how many ms it is to be served again; -1: there is nothing to commit. */
extern int64 KafkaGroupDue(const KafkaGroup *group);

/* Commit what there is, and wait for that, so many ms at most; false where it was not done. */
extern bool KafkaGroupFlush(KafkaGroup *group, int timeout_ms);

#endif							/* KAFKA_CONSUMER_GROUP_H */
