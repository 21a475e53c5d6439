# t/045_update.pl
#		ALTER EXTENSION kafka_fdw UPDATE from 0.0.3, the last version of adjust/kafka_fdw: afterwards the
#		extension is what CREATE EXTENSION makes, and what users had made with it still works.
#
# 0.0.3 is a stand-in with the same objects, t/data/kafka_fdw--0.0.3.sql. dev/test installs it beside
# the copy of PostgreSQL that it tests with; "make install" does not.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = KafkaFdw::Test->new_node('update');

plan skip_all => 't/data/kafka_fdw--0.0.3.sql is not in ' . $node->config_data('--sharedir') . '/extension'
  if $node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_available_extension_versions WHERE (name, version) = ('kafka_fdw', '0.0.3')}) ne '1';

# A database with the extension in a schema of its own, at a version or at the default one.
sub make_database
{
	my ($name, $version) = @_;

	$version = defined $version ? "VERSION '$version'" : '';
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, "CREATE SCHEMA k; CREATE EXTENSION kafka_fdw SCHEMA k $version");
	return $name;
}

# The extension as pg_dump sees it: in a binary upgrade it writes out every member, with its definition,
# owner, privileges and comment. The OIDs among it are of no interest.
sub dump_extension
{
	my ($dbname) = @_;
	my ($dump, $stderr) =
	  run_command([ 'pg_dump', '--binary-upgrade', '--schema-only', '-d', $node->connstr($dbname) ]);

	die $stderr if $stderr ne '';
	# The numbers of its tables, and of the transactions that made them.
	$dump =~ s/'\{\d+(?:,\d+)*\}'/'{}'/g;
	$dump =~ s/^(SET relfrozenxid|WHERE oid) = .*$/$1/mg;
	return join "\n", grep { !/^(--.*|\\.*|\s*|SELECT pg_catalog\.binary_upgrade_set_next_\w+.*)$/ } split /\n/, $dump;
}

# What identifies each member, and the extension's own row.
my $members = q{SELECT i.type || ' ' || i.identity
	FROM pg_depend d CROSS JOIN pg_identify_object(d.classid, d.objid, d.objsubid) i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'kafka_fdw') ORDER BY 1};
my $extension = q{SELECT extversion, extrelocatable, extnamespace::regnamespace, extconfig::regclass[], extcondition
	FROM pg_extension WHERE extname = 'kafka_fdw'};

# ---- The extension itself

my $fresh = make_database('fresh');
my $updated = make_database('updated', '0.0.3');
# PostgreSQL 17 counts the types of its table's rows, too.
like($node->safe_psql($updated, "SELECT count(*) FROM ($members) q"), qr/^[57]$/, '0.0.3 has its few objects');
$node->safe_psql($updated, 'ALTER EXTENSION kafka_fdw UPDATE');
$node->safe_psql($updated, 'DROP TABLE k.kafka_fdw_offset_dump');
is($node->safe_psql($updated, $extension), $node->safe_psql($fresh, $extension), 'the extension');
is($node->safe_psql($updated, $members), $node->safe_psql($fresh, $members), 'its members');
my $dump = dump_extension($fresh);
like($dump, qr/CREATE FUNCTION k\.kafka_send.*REVOKE ALL ON FUNCTION k\.kafka_create_topic.*/s,
	'their definitions are in a dump');
is(dump_extension($updated), $dump, 'and the same after the update');

# ---- What users had made with it

my $bootstrap = KafkaFdw::Test->bootstrap;
my $topic = KafkaFdw::Test->topic('update');
my $used = make_database('used', '0.0.3');

$node->safe_psql('postgres', "SELECT kafka_create_topic('$topic', 1), kafka_send('$topic', 'a')");
$node->safe_psql($used, qq{
	SET search_path = k, public;
	CREATE SERVER kafka_server FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers '$bootstrap');
	CREATE USER MAPPING FOR PUBLIC SERVER kafka_server;
	CREATE FOREIGN TABLE public.log (
		part int OPTIONS (partition 'true'), offs bigint OPTIONS (offset 'true'), value text)
		SERVER kafka_server
		OPTIONS (topic '$topic', batch_size '30', buffer_delay '100', num_partitions '4');
	CREATE VIEW public.ends AS SELECT partition, offset_high FROM kafka_get_watermarks('public.log');
	INSERT INTO kafka_fdw_offset_dump VALUES (1, 2, 3)});
$node->safe_psql($used, 'ALTER EXTENSION kafka_fdw UPDATE');
is($node->safe_psql($used, 'TABLE log'), '0|0|a', 'a foreign table is read');
$node->safe_psql($used, q{INSERT INTO log (value) VALUES ('b')});
is($node->safe_psql($used, 'TABLE ends'), '0|2', 'what depends on a function is still there');
is($node->safe_psql($used, 'SELECT tbloid, partition, "offset" FROM k.kafka_fdw_offset_dump'),
	'1|2|3', 'the table of offsets has been left where it was');
my ($plain) = run_command([ 'pg_dump', '-d', $node->connstr($used) ]);
like($plain, qr/COPY k\.kafka_fdw_offset_dump/, 'as a table like any other, which is dumped');
$node->safe_psql($used, 'DROP EXTENSION kafka_fdw CASCADE');
is($node->safe_psql($used, 'SELECT count(*) FROM k.kafka_fdw_offset_dump'), '1',
	'and survives the extension');

done_testing();
