# bench/scan.sh
#		Whole topics, read by everybody. Sourced by bench/run.

# Clients of Kafka. Each counts what it reads.
#
#	scan_clients SECTION TOPIC COUNT PARTITIONS ROUND CLIENT...
scan_clients()
{
	local section=$1
	local topic=$2
	local count=$3
	local partitions=$4
	local round=$5
	local client

	shift 5
	for client; do
		# Java takes seconds to start: once is enough to know that it works.
		[ "$client$length$topic" != javashortlog4 ] || continue
		case $client in
			rdkafka-*) program "$section" "$topic" "$client" "$round" "$count" \
				"$bench/rdkafka" read "$KAFKA_BOOTSTRAP" "$topic" "${client#rdkafka-}" ;;
			kcat) have_kcat && program "$section" "$topic" kcat "$round" "$count" \
				"$bench/tool" kcat "$KAFKA_BOOTSTRAP" "$topic" ;;
			java) program "$section" "$topic" java "$round" "$count" \
				"$bench/tool" java-read "$KAFKA_BOOTSTRAP" "$topic" "$count" ;;
			*) have_go && program "$section" "$topic" "$client" "$round" "$count" \
				"$bench/clients" "$client" read "$KAFKA_BOOTSTRAP" "$topic" "$partitions" ;;
		esac
	done || true
}

# What warms a session: its library, its connections for small and for large scans.
warm_up()
{
	say "SELECT count(*) FROM (SELECT FROM $1 LIMIT 6000) s"
}

# Ours: nothing of a message, one column, all of them.
#
#	scan_ours SECTION TOPIC COUNT BYTES ROUND
scan_ours()
{
	local warm=$(warm_up "$2")

	statement "$1" "$2" ours-count "$5" "$3" -s "$warm" "SELECT count(*) FROM $2"
	statement "$1" "$2" ours-sum "$5" "$4" -s "$warm" "SELECT sum(octet_length(value)) FROM $2"
	statement "$1" "$2" ours-all "$5" "$3,$3,$3,0,$4" -s "$warm" "SELECT count(partition),
		count(\"offset\"), count(\"timestamp\"), count(key), sum(octet_length(value)) FROM $2"
}

# The same rows where PostgreSQL finds them without Kafka.
#
#	scan_postgres CASE COUNT BYTES ROUND
scan_postgres()
{
	statement scan "$1" heap-count "$4" "$2" "SELECT count(*) FROM $1_heap"
	statement scan "$1" heap-sum "$4" "$3" "SELECT sum(octet_length(value)) FROM $1_heap"
	statement scan "$1" file-count "$4" "$2" "SELECT count(*) FROM $1_file"
	statement scan "$1" file-sum "$4" "$3" "SELECT sum(octet_length(value)) FROM $1_file"
	statement scan "$1" copy "$4" "$2" -s "CREATE UNLOGGED TABLE $1_copy (value text)" \
		"COPY $1_copy FROM '$work/tmp/$1.rows'"
	sql -c "DROP TABLE $1_copy"
}

# One topic, one round: everybody, or only librdkafka, the fastest of the others, and ours. Every other
# round has the reverse order, so that nobody always comes after the same one.
scan_round()
{
	local name=$1
	local round=$2
	local count=$(dataset "$name" 3)
	local bytes=$((count * $(dataset "$name" 2 | sed 's/log/100/; s/long/1000/')))
	local partitions=$(dataset "$name" 4)
	local clients=(rdkafka-callback franz-go)
	local order=(clients ours)
	local who

	if [ "$name" = log1 ] || [ "$name" = log4 ]; then
		clients=(rdkafka-callback rdkafka-batch rdkafka-poll kcat sarama franz-go kafka-go java)
	fi
	[ "$name" != log1 ] || order+=(postgres)
	if ((round % 2 == 0)); then
		order=($(printf '%s\n' "${order[@]}" | tac))
		clients=($(printf '%s\n' "${clients[@]}" | tac))
	fi
	progress "reading $name, round $round of $rounds"
	for who in "${order[@]}"; do
		case $who in
			clients) scan_clients scan "$name" "$count" "$partitions" "$round" "${clients[@]}" ;;
			ours) scan_ours scan "$name" "$count" "$bytes" "$round" ;;
			postgres) scan_postgres "$name" "$count" "$bytes" "$round" ;;
		esac
	done
}

# The topics of plain values.
scan_plain()
{
	local names="log1 log4 log1z log4z long longz"
	local name
	local round

	for name in $names; do
		prepare_topic "$name"
	done
	prepare_file log1 "value text"
	prepare_heap log1 "value text"
	for ((round = 1; round <= rounds; round++)); do
		for name in $names; do
			scan_round "$name" "$round"
		done
	done
}

# Five fields, as JSON and as CSV.
scan_fields()
{
	local count=$(dataset json 3)
	local name
	local round

	for name in json csv; do
		prepare_topic "$name"
		sql -c "CREATE FOREIGN TABLE ${name}_fields ($fields) SERVER kafka
			OPTIONS (topic '$name', format '$name')"
	done
	prepare_file csv "$fields"
	prepare_heap csv "$fields"
	prepare_file json "value jsonb"
	prepare_heap json "value jsonb"
	for ((round = 1; round <= rounds; round++)); do
		for name in json csv; do
			progress "reading five fields of $name, round $round of $rounds"
			scan_clients scan "$name" "$count" 1 "$round" rdkafka-callback
			statement scan "$name" ours-fields "$round" "$count,$count,$count,$count,$count" \
				-s "$(warm_up "${name}_fields")" "SELECT $all_fields FROM ${name}_fields"
		done
		statement scan csv file-fields "$round" "$count,$count,$count,$count,$count" \
			"SELECT $all_fields FROM csv_file"
		statement scan csv heap-fields "$round" "$count,$count,$count,$count,$count" \
			"SELECT $all_fields FROM csv_heap"
		statement scan json heap-fields "$round" "$count,$count,$count,$count,$count" \
			"SELECT $all_fields FROM json_heap, jsonb_to_record(value) AS r ($fields)"
	done
}

section_scan()
{
	scan_plain
	scan_fields
}
