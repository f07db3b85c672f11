#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
#
# rule_hits.pl RULES-DIR LIST: SpamAssassin's hits of the messages named in LIST, one a line: path, tab, score of the
# hits, tab, names of all rules and parts of rules (__) that hit, each once, with a space between, tab, the URIs that it
# looks at, %XX in place of what is no letter or digit. RULES-DIR holds what is loaded (*.pre in site/), and nothing else is.
use strict;
use warnings;
use Mail::SpamAssassin;

my ($rules, $list) = @ARGV;
my $sa = Mail::SpamAssassin->new({
    rules_filename => $rules, site_rules_filename => "$rules/site", local_tests_only => 1, dont_copy_prefs => 1,
    userprefs_filename => "$rules/none", userstate_dir => "$rules/state", home_dir_for_helpers => $rules,
    require_rules => 0, debug => 0,
});
$sa->init(0);
open(my $in, '<', $list) or die "$list: $!";
$| = 1;
while (my $path = <$in>) {
    chomp $path;
    open(my $f, '<:raw', $path) or die "$path: $!";
    local $/;
    my $text = <$f>;
    close $f;
    $text =~ s/\r\n/\n/g;
    my $mail = $sa->parse($text, 1);
    my $status = $sa->check($mail);
    my %hits = map { $_ => 1 } split(/,/, $status->get_names_of_tests_hit()),
        split(/,/, $status->get_names_of_subtests_hit());
    my @uris = map { utf8::encode($_) if utf8::is_utf8($_); s/([^A-Za-z0-9])/sprintf('%%%02X', ord($1))/ger }
        $status->get_uri_list();
    print join("\t", $path, $status->get_score(), join(' ', sort keys %hits), join(' ', @uris)), "\n";
    $status->finish();
    $mail->finish();
    $/ = "\n";
}
