/*
 * connection_check.h
 *		A property's value, checked by librdkafka itself; free of its header, for the validator.
 */
#ifndef KAFKA_CONNECTION_CHECK_H
#define KAFKA_CONNECTION_CHECK_H

/*
 * NULL where librdkafka accepts a value for a property, and otherwise the reason in its words,
 * palloc'd, without a full stop at its end. The reason may repeat the value. The property must be
 * one that the property table allows (not class D): setting another may run code. Opens no file,
 * contacts nobody.
 */
extern char *KafkaConnectionCheckProperty(const char *name, const char *value);

#endif							/* KAFKA_CONNECTION_CHECK_H */
