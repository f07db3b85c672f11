#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
#
# rule_hits.pl RULES-DIR LIST: SpamAssassin's hits of the messages named in LIST, one a line: path, tab, names of all
# rules and parts of rules (__) that hit, with a space between. RULES-DIR holds what is loaded, and nothing else is.
use strict;
use warnings;
use Mail::SpamAssassin;

my ($rules, $list) = @ARGV;
my $sa = Mail::SpamAssassin->new({
    rules_filename => $rules, site_rules_filename => $rules, local_tests_only => 1, dont_copy_prefs => 1,
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
    my @hits = (split(/,/, $status->get_names_of_tests_hit()), split(/,/, $status->get_names_of_subtests_hit()));
    print join("\t", $path, join(' ', sort @hits)), "\n";
    $status->finish();
    $mail->finish();
    $/ = "\n";
}
