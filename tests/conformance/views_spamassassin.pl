#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
#
# views_spamassassin.pl FILE... — SpamAssassin's body and rawbody of each message, one line of JSON
# each: {"body": [paragraph, …], "rawbody": [line, …]}. Exit 77 without SpamAssassin.
use strict;
use warnings;
use JSON::PP;
eval {
	require Mail::SpamAssassin;
	require Mail::SpamAssassin::Message;
} or exit 77;

my $sa = Mail::SpamAssassin->new({
	dont_copy_prefs => 1, local_tests_only => 1, rules_filename => '/dev/null',
	site_rules_filename => '/dev/null', userprefs_filename => '/dev/null',
	config_text => "normalize_charset 1\n",
});
my $json = JSON::PP->new->ascii->canonical;
binmode STDOUT;

for my $path (@ARGV) {
	open my $f, '<:raw', $path or die "$path: $!\n";
	my @lines = <$f>;
	close $f;
	my $m = Mail::SpamAssassin::Message->new({message => \@lines, normalize => 1, parsenow => 1});
	my (@types, %out);
	push @types, $_->effective_type() // '' for $m->find_parts(qr/./, 1);
	$out{types} = \@types;
	$out{body} = [map { my $s = $_; utf8::encode($s) if utf8::is_utf8($s); $s }
		@{$m->get_rendered_body_text_array()}];
	$out{rawbody} = [map { my $s = $_; utf8::encode($s) if utf8::is_utf8($s); $s }
		@{$m->get_decoded_body_text_array()}];
	print $json->encode(\%out), "\n";
}
