/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/port/port.h"
#include "dataplane/port/port_mirror.h"
#include "dataplane/port/port_quirks.h"

static struct rte_mempool *pool;

static void roles(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *says;
	} t[] = {
		{"0=gateway", 0, ""},
		{"17=gateway", 0, ""},
		{"17=tap", 0, ""},
		{"17=inline:2", 0, ""},
		{"17=exception:2", 0, ""},
		{"1=exception:1", -EINVAL, "another ethdev port"},
		{"1=exception", -EINVAL, "unknown role"},
		{"1=inline:1", -EINVAL, "another ethdev port"},
		{"1=inline:", -EINVAL, "N=inline:M"},
		{"1=inline:2x", -EINVAL, "N=inline:M"},
		{"1=router", -EINVAL, "unknown role"},
		{"1=", -EINVAL, "unknown role"},
		{"=gateway", -EINVAL, "expected N=ROLE"},
		{"gateway", -EINVAL, "expected N=ROLE"},
		{"65535=gateway", -EINVAL, "expected N=ROLE"},
		{"4294967296=gateway", -EINVAL, "expected N=ROLE"},
		{"-1=gateway", -EINVAL, "expected N=ROLE"},
		{"1=gateway ", -EINVAL, "unknown role"},
		{"", -EINVAL, "expected N=ROLE"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct port_arg arg;
		char err[200] = "";

		assert_int_equal(port_parse_arg(t[i].text, &arg, err, sizeof(err)), t[i].rc);
		if (!strstr(err, t[i].says))
			fail_msg("%s: %s", t[i].text, err);
		if (!t[i].rc)
			assert_int_equal(arg.port_id, t[i].text[0] == '0' ? 0 : 17);
	}
}

static void quirks(void **state)
{
	(void)state;
	assert_true(port_quirk("net_af_packet")->promiscuous);
	assert_false(port_quirk("net_af_packet")->rss);
	assert_true(port_quirk("net_ixgbe")->rss);
	assert_false(port_quirk("net_virtio")->rss);
	assert_non_null(port_quirk(NULL));
}

static void up_describe_down(void **state)
{
	struct rte_mempool *pools[2] = {pool, pool};
	struct port_options opt = {.mtu = 1400};
	struct port_info info;
	char err[200] = "", text[2048];
	uint16_t id;
	json_t *j;

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_null0", &id), 0);
	assert_true(port_rx_mbufs(id, 1, NULL) > 0);
	assert_true(port_tx_mbufs(id, 2, NULL) >= port_rx_mbufs(id, 1, NULL));
	if (port_init(id, 1, pools, &opt, &info, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(info.mtu, 1400);
	assert_int_equal(info.n_queues, 1);
	assert_string_equal(info.driver, "net_null");
	assert_false(info.rss);
	assert_true(port_link_up(&info));
	assert_true(port_describe(&info, text, sizeof(text)) > 0);
	assert_int_equal(port_describe(&info, text, 40), -ENOSPC);
	port_describe(&info, text, sizeof(text));
	j = json_loads(text, 0, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "driver")), "net_null");
	assert_true(json_is_true(json_object_get(j, "link")));
	assert_int_equal(json_integer_value(json_object_get(j, "mtu")), 1400);
	json_decref(j);
	port_close(&info);
}

/* Nothing can be sent on a mirror's port. */
static void receive_only(void **state)
{
	struct rte_mempool *pools[2] = {pool, pool};
	struct port_options opt = {.receive_only = true};
	struct port_info info;
	struct rte_eth_dev_info dev;
	char err[200] = "";
	uint16_t id;

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_null1", &id), 0);
	if (port_init(id, 2, pools, &opt, &info, err, sizeof(err)))
		fail_msg("%s", err);
	assert_true(info.receive_only);
	assert_false(info.capture);
	assert_int_equal(info.n_tx_queues, 0);
	assert_int_equal(rte_eth_dev_info_get(id, &dev), 0);
	assert_int_equal(dev.nb_tx_queues, 0);
	assert_int_equal(dev.nb_rx_queues, info.n_queues);
	port_close(&info);
}

static void step(struct port_mirror *m, bool up0, bool up1, uint64_t now, enum port_mirror_do do0,
		 enum port_mirror_do do1)
{
	const bool up[2] = {up0, up1};
	enum port_mirror_do todo[2];

	port_mirror_step(m, up, now, todo);
	assert_int_equal(todo[0], do0);
	assert_int_equal(todo[1], do1);
}

static void mirror(void **state)
{
	const uint64_t w = PORT_MIRROR_MS;
	struct port_mirror m;

	(void)state;
	port_mirror_init(&m, 1000);
	/* At start nobody is missed for a while. */
	step(&m, false, false, 1000 + w - 1, MIRROR_NOTHING, MIRROR_NOTHING);
	step(&m, true, true, 1000 + w, MIRROR_NOTHING, MIRROR_NOTHING);
	/* One goes: the other is taken down, once, and what it then says is not heard. */
	step(&m, false, true, 2 * w, MIRROR_NOTHING, MIRROR_DOWN);
	step(&m, false, true, 2 * w + 1, MIRROR_NOTHING, MIRROR_NOTHING);
	step(&m, false, false, 3 * w, MIRROR_NOTHING, MIRROR_NOTHING);
	/* It comes back, and the other has its time to do so, too. */
	step(&m, true, false, 4 * w, MIRROR_NOTHING, MIRROR_UP);
	step(&m, true, false, 5 * w - 1, MIRROR_NOTHING, MIRROR_NOTHING);
	step(&m, true, true, 5 * w, MIRROR_NOTHING, MIRROR_NOTHING);
	/* The same from the other side; and it does not come back in its time. */
	step(&m, true, false, 6 * w, MIRROR_DOWN, MIRROR_NOTHING);
	step(&m, false, true, 7 * w, MIRROR_UP, MIRROR_NOTHING);
	step(&m, false, true, 8 * w, MIRROR_NOTHING, MIRROR_DOWN);
	step(&m, true, false, 9 * w, MIRROR_NOTHING, MIRROR_UP);
	/* Both at once: one is forced, and that is undone when the other is there. */
	step(&m, false, false, 20 * w, MIRROR_NOTHING, MIRROR_DOWN);
	step(&m, true, false, 21 * w, MIRROR_NOTHING, MIRROR_UP);
	step(&m, true, true, 21 * w + 1, MIRROR_NOTHING, MIRROR_NOTHING);
}

static void errors_say_what(void **state)
{
	struct rte_mempool *pools[1] = {pool};
	struct port_info info;
	char err[200] = "";

	(void)state;
	assert_true(port_init(30, 1, pools, NULL, &info, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "port 30"));
}

int main(void)
{
	/* --no-huge means legacy memory, which does not go with --in-memory. */
	static char args[][24] = {"test",
				  "--no-huge",
				  "--no-shconf",
				  "--no-pci",
				  "-m",
				  "64",
				  "--no-telemetry",
				  "-l",
				  "0",
				  "--log-level=3",
				  "--vdev=net_null0",
				  "--vdev=net_null1",
				  "--file-prefix=unit"};
	enum { N_ARGS = sizeof(args) / sizeof(args[0]) };
	char *eal[N_ARGS];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles),
		cmocka_unit_test(quirks),
		cmocka_unit_test(up_describe_down),
		cmocka_unit_test(receive_only),
		cmocka_unit_test(mirror),
		cmocka_unit_test(errors_say_what),
	};

	for (int i = 0; i < N_ARGS; i++)
		eal[i] = args[i];
	if (rte_eal_init(N_ARGS, eal) < 0)
		return 77;
	pool = rte_pktmbuf_pool_create("rx", 1023, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	if (!pool)
		return 77;
	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
