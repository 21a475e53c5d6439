/*
 * module.h
 *		What _PG_init calls, free of the headers that the modules themselves need.
 */
#ifndef KAFKA_MODULE_H
#define KAFKA_MODULE_H

extern void KafkaSettingInit(void);
extern void KafkaConnectionInit(void);
extern void KafkaPendingInit(void);
extern void KafkaOutboxInit(void);
extern void KafkaLauncherInit(void);
extern void KafkaSubscriptionInit(void);

#endif							/* KAFKA_MODULE_H */
