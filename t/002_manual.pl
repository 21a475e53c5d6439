# t/002_manual.pl
#		The manual is complete: what the sources define has its place in docs/, and every link between
#		the pages leads somewhere. Whether what it says is true is for 060_readme.pl.
use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/..");

# A file of the project, as one string.
sub content
{
	my ($path) = @_;

	local $/;
	open(my $file, '<:encoding(UTF-8)', "$root/$path") or die "could not open $path: $!";
	return <$file>;
}

# What is missing in a text: names that do not stand in it as code.
sub missing
{
	my ($text, @names) = @_;

	return [ grep { $text !~ /`[^`]*(?<![\w.])\Q$_\E(?!\w)[^`]*`/ } @names ];
}

my $reference = content('docs/reference.md');
my $signatures = '';		# the blocks that have no language
while ($reference =~ /^```(\w*)\n(.*?)^```$/msg)
{
	$signatures .= $2 if $1 eq '';
}

# Options of our own, beside librdkafka's
my $names = content('src/option_name.c');
my @options = $names =~ /\{"(\w+)", KAFKA_OBJECT_\w+, /g;
cmp_ok(scalar(@options), '>', 20, 'options are found in the source');
is_deeply(missing($reference, @options), [], 'every option is in the reference');

# Options of IMPORT FOREIGN SCHEMA
my @import = content('src/import.c') =~ /strcmp\(option->defname, "(\w+)"\)/g;
cmp_ok(scalar(@import), '>=', 4, 'import options are found in the source');
is_deeply(missing($reference, @import), [], 'every import option is in the reference');

# Settings
my @settings = content('src/setting.c') =~ /DefineCustom\w+\("(kafka_fdw\.\w+)"/g;
cmp_ok(scalar(@settings), '>=', 5, 'settings are found in the source');
is_deeply(missing($reference, @settings), [], 'every setting is in the reference');

# Functions, views and types
my $script = content('kafka_fdw--1.0.sql');
my %objects = map { $_ => 1 } $script =~ /^CREATE (?:FUNCTION|VIEW|TYPE) \@extschema\@\.(\w+)/mg;
delete @objects{qw(kafka_fdw_handler kafka_fdw_validator)};
is_deeply([ grep { $reference !~ /\b$_\b/ } sort keys %objects ],
	[], 'every function, view and type is in the reference');

# The arguments of functions, in their order
while ($script =~ /^CREATE FUNCTION \@extschema\@\.(kafka_\w+)\((.*?)\)\nRETURNS/msg)
{
	my ($function, $arguments) = ($1, $2);
	next unless $objects{$function} && $arguments =~ /\S/;
	my @arguments = $arguments =~ /^\s*"?(\w+)"? pg_catalog/mg;
	my ($shown) = $signatures =~ /^$function\((.*?)\)\s+\x{2192}/ms;

	next if ($shown // '') =~ /the same/;
	is_deeply([ ($shown // '') =~ /(?:^|,)\s*"?(\w+)"? \w/g ],
		\@arguments, "the reference has the arguments of $function");
}

# librdkafka's properties, each in the section of its class
my $properties = content('docs/properties.md');
my %section = $properties =~ /^## (.*?)\n(.*?)(?=^## |\z)/msg;
my %title = (
	A => 'Options of a server',
	B => 'Options of a user mapping',
	C_FILE => 'Options of a server that name files',
	C_SUPER => 'Options of a server for superusers',
	D => 'Not from SQL');
my %wanted = map { $_ => [] } keys %title;
my ($table) = content('src/property.c') =~ /KafkaPropertyInfo properties\[\] = \{\n(.*?)\n\};/s;
while ($table =~ /\{"([^"]+)",\s*(?:NULL|"[^"]+"),\s*(\w+),/g)
{
	my ($name, $class) = ($1, $2);

	$name =~ tr/./_/ if $class ne 'D' && $name ne 'batch.size';
	push @{ $wanted{$class} }, $name;
}
foreach my $class (sort keys %title)
{
	my $text = $section{ $title{$class} } // '';
	my @shown = $class eq 'D' ? $text =~ /(?<!=\s)`([\w.]+)`/g : $text =~ /^\| `"?([\w.]+)"?`/mg;

	is_deeply(\@shown, $wanted{$class}, "properties of class $class are on their page, in order");
}

# SQLSTATEs, by the names that PostgreSQL gives them
my %other_name = (datetime_value_out_of_range => 'datetime_field_overflow',
	t_r_serialization_failure => 'serialization_failure');
# Looked at and not raised: classes, and no error at all
my %of_no_error = map { $_ => 1 } qw(to_category connection_exception successful_completion warning
  invalid_transaction_state transaction_rollback operator_intervention system_error
  config_file_error internal_error assert_failure data_exception integrity_constraint_violation
  cardinality_violation with_check_option_violation plpgsql_error lock_not_available);
my %codes;
foreach my $path (glob("$root/src/*.c"))
{
	$codes{ $other_name{ lc $_ } // lc $_ } = 1
	  foreach content($path =~ s/^\Q$root\E\///r) =~ /ERRCODE_(\w+)/g;
}
delete @codes{ keys %of_no_error };
is_deeply(missing(content('docs/errors.md'), sort keys %codes), [], 'every SQLSTATE is in errors.md');

# Links: to a file that exists, and a heading in it
my @pages = ('README.md', 'CHANGELOG.md', map { s/^\Q$root\E\///r } glob("$root/docs/*.md"));
my %anchors;
foreach my $page (@pages)
{
	my $text = content($page) =~ s/^```.*?^```$//msgr;

	# As GitHub makes them of headings
	$anchors{$page} =
	  { map { lc($_ =~ s/[^\w\s-]//gr) =~ s/\s/-/gr => 1 } $text =~ /^#+ +(.*?) *$/mg };
}
foreach my $page (@pages)
{
	my $folder = $page =~ /^(.*\/)/ ? $1 : '';
	my @broken;

	foreach my $link (content($page) =~ /\]\(([^)\s]+)\)/g)
	{
		my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;

		next if $link =~ /^https?:/;
		$path = $path eq '' ? $page : $folder . $path;
		1 while $path =~ s/[^\/]+\/\.\.\///;
		push @broken, $link
		  if !-e "$root/$path" || (defined $anchor && !$anchors{$path}{$anchor});
	}
	is_deeply(\@broken, [], "$page: links");
}

done_testing();
