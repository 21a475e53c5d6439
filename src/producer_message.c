/*
 * producer_message.c
 *		A message, given to librdkafka.
 */
#include "postgres.h"

#include "producer_private.h"

/* What librdkafka keeps for a header beside its name and value. */
#define HEADER_OVERHEAD 64

/* librdkafka's form of the headers; it owns them once the message is taken. */
static rd_kafka_headers_t *
make_headers(const KafkaOutgoing *message)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->nheaders);

	for (int i = 0; i < message->nheaders; i++)
	{
		KafkaHeader *header = &message->headers[i];

		rd_kafka_header_add(headers, header->name, -1, header->value, (ssize_t) header->len);
	}
	return headers;
}

Size
kafka_message_header_bytes(const KafkaOutgoing *message)
{
	Size		bytes = 0;

	for (int i = 0; i < message->nheaders; i++)
		bytes += strlen(message->headers[i].name) + message->headers[i].len + HEADER_OVERHEAD;
	return bytes;
}

rd_kafka_resp_err_t
kafka_produce_message(rd_kafka_t *rk, rd_kafka_topic_t *rkt, const KafkaOutgoing *message,
					  void *number)
{
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t err;

	if (message->nheaders == 0 && message->timestamp == KAFKA_NO_TIMESTAMP)
	{
		/* the quicker call, without either */
		if (rd_kafka_produce(rkt, message->partition, RD_KAFKA_MSG_F_COPY,
							 unconstify(char *, message->value), message->valuelen, message->key,
							 message->keylen, number) == 0)
			return RD_KAFKA_RESP_ERR_NO_ERROR;
		return rd_kafka_last_error();
	}

	headers = message->nheaders > 0 ? make_headers(message) : NULL;
	err = rd_kafka_producev(rk,
							RD_KAFKA_V_RKT(rkt),
							RD_KAFKA_V_PARTITION(message->partition),
							RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							RD_KAFKA_V_VALUE(unconstify(char *, message->value), message->valuelen),
							RD_KAFKA_V_KEY(message->key, message->keylen),
							RD_KAFKA_V_TIMESTAMP(message->timestamp == KAFKA_NO_TIMESTAMP ? 0
												 : message->timestamp),
							RD_KAFKA_V_OPAQUE(number),
							RD_KAFKA_V_HEADERS(headers),
							RD_KAFKA_V_END);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR && headers)
		rd_kafka_headers_destroy(headers);
	return err;
}
