/*
 * subscription.h
 *		What the rest of the extension asks of subscriptions.
 */
#ifndef KAFKA_SUBSCRIPTION_H
#define KAFKA_SUBSCRIPTION_H

/*
 * Start the workers of all subscriptions of this database that are to run; for the launcher, in a
 * transaction. Those that run already notice it and end.
 */
extern void KafkaSubscriptionStartAll(void);

/*
 * Make the subscriptions of this copy of the database its own, and start them when the transaction
 * commits: the part of kafka_adopt() that is about them. Returns their number.
 */
extern uint64 KafkaSubscriptionAdopt(void);

#endif							/* KAFKA_SUBSCRIPTION_H */
