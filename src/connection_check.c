/*
 * connection_check.c
 *		A property's value, checked by librdkafka itself: set on a configuration that is thrown away.
 *
 * A configuration is plain memory. Setting one of the allowed properties on it parses and copies
 * the value and does no more; files, certificates and combinations of properties are looked at
 * when a handle is made.
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "connection_check.h"
#include "property.h"

char *
KafkaConnectionCheckProperty(const char *name, const char *value)
{
	const KafkaPropertyInfo *info = KafkaPropertyFind(name, NULL);
	rd_kafka_conf_t *conf;
	rd_kafka_conf_res_t res;
	char		errstr[512];
	int			len;

	if (info == NULL || info->class == KAFKA_CLASS_D)
		elog(ERROR, "librdkafka property \"%s\" cannot be checked", name);

	errstr[0] = '\0';
	conf = rd_kafka_conf_new();
	res = rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr));
	rd_kafka_conf_destroy(conf);
	if (res == RD_KAFKA_CONF_OK)
		return NULL;

	/* The text may hold a part of the value, cut in the middle of a character. */
	len = strlen(errstr);
	for (int i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(errstr[i]))
			errstr[i] = '?';
	}

	/* Some texts end in a line break. */
	while (len > 0 && (errstr[len - 1] == '\n' || errstr[len - 1] == '.'))
		errstr[--len] = '\0';
	return len > 0 ? pstrdup(errstr) : pstrdup("This librdkafka refuses it");
}
