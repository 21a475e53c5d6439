# bench/scan.sh
#		Whole topics, read by everybody. Sourced by bench/run.

# The clients of Kafka. Each counts what it reads.
scan_clients()
{
	local name=$1
	local round=$2
	local count=$(dataset "$name" 3)
	local call

	for call in callback batch poll; do
		program scan "$name" "rdkafka-$call" "$round" "$count" \
			"$bench/rdkafka" read "$KAFKA_BOOTSTRAP" "$name" "$call"
	done
}

# Ours, in a session that has its connections already.
scan_ours()
{
	local name=$1
	local round=$2
	local count=$(dataset "$name" 3)
	local warm="SELECT count(*) FROM (SELECT FROM $name LIMIT 5000) s"

	statement scan "$name" ours-count "$round" "$count" -s "$warm" "SELECT count(*) FROM $name"
	statement scan "$name" ours-sum "$round" "[0-9]*" -s "$warm" \
		"SELECT sum(octet_length(value)) FROM $name"
	statement scan "$name" ours-all "$round" "$count,$count,[0-9]*,$count,[0-9]*" -s "$warm" \
		"SELECT count(partition), count(\"offset\"), max(\"offset\"), count(\"timestamp\"),
			sum(octet_length(value)) FROM $name"
}

section_scan()
{
	local name
	local round

	for name in log1 log4; do
		prepare_topic "$name"
	done
	for ((round = 1; round <= rounds; round++)); do
		for name in log1 log4; do
			progress "scan of $name, round $round of $rounds"
			scan_clients "$name" "$round"
			scan_ours "$name" "$round"
		done
	done
}
