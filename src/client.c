/*
 * client.c
 *		Sends what the server has buffered for its client, so that a tail's rows show at once.
 */
#include "postgres.h"

/*
 * libpq.h includes the headers of the TLS and GSSAPI libraries for a struct that is not looked at
 * here. Building the extension must not ask for their development packages.
 */
#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL
#include "libpq/libpq.h"

#include "access/parallel.h"
#include "tcop/tcopprot.h"

#include "client.h"

bool
KafkaClientFlush(void *arg)
{
	if (whereToSendOutput != DestRemote || IsParallelWorker())
		return false;
	if (pq_flush_if_writable() != 0)
		return false;			/* the connection is lost: the next interrupt check says so */
	return pq_is_send_pending();
}
