/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/origin/cloud.h"

/* Sources: the SPF records of spf.protection.outlook.com and _spf.google.com, and Microsoft's list
 * of Exchange Online addresses. A network that is missing is named by `cloud` in the relay. */
static const struct { enum origin_cloud cloud; struct str net; } table[] = {
	{CLOUD_MICROSOFT365, STR("40.92.0.0/15")},
	{CLOUD_MICROSOFT365, STR("40.107.0.0/16")},
	{CLOUD_MICROSOFT365, STR("52.100.0.0/14")},
	{CLOUD_MICROSOFT365, STR("104.47.0.0/17")},
	{CLOUD_MICROSOFT365, STR("2a01:111:f400::/48")},
	{CLOUD_MICROSOFT365, STR("2a01:111:f403::/48")},
	{CLOUD_GOOGLE, STR("35.190.247.0/24")},
	{CLOUD_GOOGLE, STR("35.191.0.0/16")},
	{CLOUD_GOOGLE, STR("64.233.160.0/19")},
	{CLOUD_GOOGLE, STR("66.102.0.0/20")},
	{CLOUD_GOOGLE, STR("66.249.80.0/20")},
	{CLOUD_GOOGLE, STR("72.14.192.0/18")},
	{CLOUD_GOOGLE, STR("74.125.0.0/16")},
	{CLOUD_GOOGLE, STR("108.177.8.0/21")},
	{CLOUD_GOOGLE, STR("108.177.96.0/19")},
	{CLOUD_GOOGLE, STR("130.211.0.0/22")},
	{CLOUD_GOOGLE, STR("172.217.0.0/16")},
	{CLOUD_GOOGLE, STR("172.253.56.0/21")},
	{CLOUD_GOOGLE, STR("172.253.112.0/20")},
	{CLOUD_GOOGLE, STR("173.194.0.0/16")},
	{CLOUD_GOOGLE, STR("209.85.128.0/17")},
	{CLOUD_GOOGLE, STR("216.58.192.0/19")},
	{CLOUD_GOOGLE, STR("216.239.32.0/19")},
	{CLOUD_GOOGLE, STR("2001:4860:4000::/36")},
	{CLOUD_GOOGLE, STR("2404:6800:4000::/36")},
	{CLOUD_GOOGLE, STR("2607:f8b0:4000::/36")},
	{CLOUD_GOOGLE, STR("2800:3f0:4000::/36")},
	{CLOUD_GOOGLE, STR("2a00:1450:4000::/36")},
	{CLOUD_GOOGLE, STR("2c0f:fb50:4000::/36")},
};

enum origin_cloud cloud_of(const struct ip_range *range)
{
	struct ip_range r;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (ip_range_parse(table[i].net, &r) && ip_ranges_meet(&r, range))
			return table[i].cloud;
	return CLOUD_NONE;
}

const char *cloud_name(enum origin_cloud cloud)
{
	return cloud == CLOUD_GOOGLE ? "Google" : cloud == CLOUD_MICROSOFT365 ? "Microsoft 365" : "none";
}
