# bench/send.sh
#		Many rows at once, one after another, and from a hundred sessions. Sourced by bench/run.

sent=0						# messages that the topic "sent" has to have

# What was sent has to be in the topic, whatever the sender says.
verify_sent()
{
	local found

	sent=$((sent + $1))
	found=$("$bench/rdkafka" count "$KAFKA_BOOTSTRAP" sent)
	if [ "$found" != "count=$sent" ]; then
		complain "$2" "the topic has $found messages in place of $sent"
		printf 'wrong\t%s\t%s\n' "$2" "$found in place of $sent" >>"$results"
		sent=${found#count=}
	fi
}

# 500,000 rows, all acknowledged.
send_many()
{
	local round=$1
	local count=$((500000 / scale))
	local client

	progress "sending many, round $round of $rounds"
	for client in rdkafka rdkafka-idempotent rdkafka-single java sarama franz-go kafka-go; do
		case $client in
			rdkafka) set -- "$bench/rdkafka" send "$KAFKA_BOOTSTRAP" sent "$count" ;;
			rdkafka-idempotent) set -- "$bench/rdkafka" send "$KAFKA_BOOTSTRAP" sent "$count" \
				enable.idempotence=true ;;
			rdkafka-single) set -- "$bench/rdkafka" send "$KAFKA_BOOTSTRAP" sent "$count" \
				enable.idempotence=true max.in.flight.requests.per.connection=1 ;;
			java) set -- "$bench/tool" java-send "$KAFKA_BOOTSTRAP" sent "$count" ;;
			*) have_go || continue
				set -- "$bench/clients" "$client" send "$KAFKA_BOOTSTRAP" sent "$count" ;;
		esac
		program send many "$client" "$round" "$count" "$@"
		verify_sent "$count" "send many $client"
	done
	statement send many ours-insert "$round" "$count" -s "SELECT kafka_send('sent', 'warm')" \
		"INSERT INTO sent (value) SELECT value FROM source"
	verify_sent $((count + 1)) "send many ours-insert"
	statement send many ours-copy "$round" "$count" -s "SELECT kafka_send('sent', 'warm')" \
		"COPY sent (value) FROM '$work/tmp/source.rows'"
	verify_sent $((count + 1)) "send many ours-copy"
	statement send many heap-insert "$round" "$count" -s "TRUNCATE target" \
		"INSERT INTO target SELECT value FROM source"
}

# One row, its acknowledgement, the next row.
send_single()
{
	local round=$1
	local count=$((2000 / (scale > 1 ? 10 : 1)))
	local client
	local value=$(head -n 1 "$work/tmp/source.rows")

	progress "sending one after another, round $round of $rounds"
	repeat single single select-1 "$round" -n "$count" "SELECT 1"
	repeat single single ours-send "$round" -n "$count" "SELECT kafka_send('sent', '$value')"
	verify_sent "$count" "send single ours"
	repeat single single ours-row "$round" -n "$count" "INSERT INTO sent (value) VALUES ('$value')"
	verify_sent "$count" "send single ours-row"
	program single single rdkafka-sync "$round" "$count" "$bench/rdkafka" sync "$KAFKA_BOOTSTRAP" sent \
		"$count" linger.ms=0 socket.nagle.disable=true
	verify_sent "$count" "send single rdkafka"
	program single single rdkafka-default "$round" $((count / 10)) "$bench/rdkafka" sync "$KAFKA_BOOTSTRAP" \
		sent $((count / 10))
	verify_sent $((count / 10)) "send single rdkafka-default"
	for client in sarama franz-go kafka-go; do
		have_go || continue
		program single single "$client" "$round" "$count" "$bench/clients" "$client" sync \
			"$KAFKA_BOOTSTRAP" sent "$count"
		verify_sent "$count" "send single $client"
	done
}

# A hundred sessions, each with its own producer.
send_sessions()
{
	local round=$1
	local count=$((10000 / (scale > 1 ? 20 : 1)))

	progress "sending from 100 sessions, round $round of $rounds"
	repeat sessions sessions select-1 "$round" -n "$count" -c 100 "SELECT 1"
	repeat sessions sessions ours "$round" -n "$count" -c 100 -s "SELECT kafka_send('sent', 'warm')" \
		"SELECT kafka_send('sent', 'this is a test log')"
	verify_sent $((count + 100)) "send sessions"
}

section_send()
{
	local round

	sql -c "SELECT kafka_create_topic('sent', 1)" >/dev/null
	"$bench/rdkafka" rows log 0 $((500000 / scale)) >"$work/tmp/source.rows"
	chmod a+r "$work/tmp/source.rows"
	sql <<Q
CREATE FOREIGN TABLE sent (value text) SERVER kafka;
CREATE UNLOGGED TABLE source (value text);
CREATE UNLOGGED TABLE target (value text);
COPY source FROM '$work/tmp/source.rows';
VACUUM (FREEZE, ANALYZE) source;
Q
	for ((round = 1; round <= rounds; round++)); do
		send_many "$round"
		send_single "$round"
		send_sessions "$round"
	done
}
