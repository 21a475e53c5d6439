# t/071_secured_admin.pl
#		Looking at a cluster as a user whom its ACLs allow little. What may not be seen is left out of
#		lists; asked for by name it is refused, with its SQLSTATE, at once; and shown once there is
#		the ACL.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time);

# What a refusal may take on a machine that is busy with other things; waiting would take minutes.
my $slack = 60;

my $broker = KafkaFdw::Test->new_secure_broker('acls');
my $node = KafkaFdw::Test->new_node('acls', $broker);
my $session = KafkaFdw::Test->session($node);
my ($open, $closed, $group) = map { KafkaFdw::Test->topic($_) } qw(open closed group);
my $alice = 'User:alice';

KafkaFdw::Test->create_server($node, 'acl', $broker->bootstrap('sasl_plaintext'),
	"security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN', metadata_timeout '5min'");
$node->safe_psql('postgres', qq{
	CREATE USER MAPPING FOR CURRENT_USER SERVER acl
		OPTIONS (sasl_username 'alice', sasl_password 'alice-secret');
	SELECT kafka_create_topic('$open', 1, server => 'kafka'), kafka_create_topic('$closed', 1, server => 'kafka');
	SELECT kafka_send('$closed', 'x', server => 'kafka')});
my $committer = KafkaFdw::Test->tool('kgroup', $broker->bootstrap, $group);
ok(KafkaFdw::Test->wait_until(sub { $committer->do("commit $closed 0 0") eq 'ok' }), 'a group');

# What a query prints; dies where it complains.
sub rows
{
	my ($sql) = @_;
	my $output = $session->query($sql);

	die "$sql: " . $session->stderr if $session->stderr ne '';
	return $output;
}

# A statement is refused, as often as it is tried, until there is the ACL.
sub guards
{
	my ($sql, $text, $operation, $resource, $name, $wanted) = @_;

	foreach my $attempt ('first', 'second')
	{
		my $start = time;
		my ($state, $error) = $session->failure($sql);

		is($state, '42501', "no $operation: $sql, $attempt attempt");
		like($error, $text, "no $operation: its cause, $attempt attempt");
		like($error, qr/^HINT:  The cluster's ACLs/m, "no $operation: its hint, $attempt attempt");
		cmp_ok(time - $start, '<', $slack, "no $operation: at once, $attempt attempt");
	}
	$broker->allow($alice, $operation, $resource, $name);
	is(rows($sql), $wanted, "$operation: $sql");
	return;
}

my $listed = "SELECT count(*) FROM kafka_topics('acl') WHERE topic IN ('$open', '$closed')";
my $partitions = "SELECT high FROM kafka_partitions('$closed', 'acl')";
my $all = "SELECT count(*) FROM kafka_partitions(NULL, 'acl') WHERE topic = '$closed'";
my $config = "SELECT count(*) FROM kafka_topic_config('$closed', 'acl') WHERE name = 'retention.ms'";
my $groups = "SELECT count(*) FROM kafka_groups('acl')";
my $lag = "SELECT topic, current_offset, log_end_offset, lag FROM kafka_group_lag('$group', 'acl')";

is(rows("SELECT count(*) FROM kafka_brokers('acl')"), '1', 'the brokers are for everybody');
is(rows($listed), '0', 'no topic is shown');
$broker->allow($alice, 'DESCRIBE', 'TOPIC', $open);
is(rows($listed), '1', 'then one is');
is(rows($all), '0', 'a partition that is not');
guards($partitions, qr/could not look up the partitions of topic "\Q$closed\E".*Topic authorization failed/s,
	'DESCRIBE', 'TOPIC', $closed, '1');
is(rows($all), '1', 'and then is');

guards($config, qr/could not look up the configuration of topic "\Q$closed\E".*authorization failed/s,
	'DESCRIBE_CONFIGS', 'TOPIC', $closed, '1');
guards("SELECT kafka_set_topic_config('$closed', '{\"retention.ms\": -1}', 'acl')",
	qr/could not change the configuration of topic "\Q$closed\E".*authorization failed/s,
	'ALTER_CONFIGS', 'TOPIC', $closed, '');

is(rows($groups), '0', 'no group is shown');
guards($lag, qr/could not look up the offsets of consumer group "\Q$group\E".*Group authorization failed/s,
	'DESCRIBE', 'GROUP', $group, "$closed|0|1|1");
is(rows($groups), '1', 'then it is');

# A group whose topics may not be seen: its offsets are left out.
$broker->forbid($alice, 'DESCRIBE', 'TOPIC', $closed);
$broker->forbid($alice, $_, 'TOPIC', $closed) foreach qw(DESCRIBE_CONFIGS ALTER_CONFIGS);
is(rows($lag), '', 'offsets in a topic that may not be seen');

# A member of it reads that topic: that is known, but not how far the topic goes.
my $member = KafkaFdw::Test->tool('kgroup', $broker->bootstrap, "$group.member");
$member->ok("subscribe $closed");
ok(KafkaFdw::Test->wait_until(sub { $member->ok('assigned') ne '' }), 'a member');
$broker->allow($alice, 'DESCRIBE', 'GROUP', "$group.member");
my ($state, $error) = $session->failure("SELECT * FROM kafka_group_lag('$group.member', 'acl')");
is($state, '42501', 'the end of a topic that may not be seen');
like($error, qr/DETAIL:  topic "\Q$closed\E" partition 0: .*Topic authorization failed/, 'which is named');

$_->quit foreach $committer, $member, $session;
$node->stop;
done_testing();
