// SPDX-License-Identifier: GPL-2.0
/*
 * crasher: crashes a guest of the tests in a way that they ask for.
 *
 *   echo null > /sys/module/crasher/parameters/how
 *
 * Each way is a function by_WAY that neither is inlined nor ends in a jump, so it has a place of its own in the
 * backtrace: that is the function a report should name. "how" is a parameter with a setter, so the module is
 * loaded as any other when it crashes, and the stack goes down to the entry of write(2).
 */
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

/* Keeps a call from becoming a jump, and a value from being known to the compiler. */
#define STAY() barrier()

struct box {
	unsigned long label;
	struct box *next;
	struct list_head link;
	unsigned long contents[24];
};

static struct box *volatile nowhere;
static void (*volatile no_function)(void);
static struct box *volatile kept;
static volatile int zero;
static volatile int depth;

static noinline void by_null(void)
{
	nowhere->contents[3] = 1;
	STAY();
}

/* A call of a null pointer: the instruction pointer itself is 0. */
static noinline void by_call(void)
{
	no_function();
	STAY();
}

static noinline void by_bug(void)
{
	BUG_ON(!zero);
	STAY();
}

static noinline void by_panic(void)
{
	panic("crasher was asked to");
}

static noinline void by_list(void)
{
	static LIST_HEAD(boxes);
	static struct box first, second;

	list_add(&first.link, &boxes);
	list_add_tail(&second.link, &boxes);
	first.link.next = &first.link;
	list_del(&second.link);
	STAY();
}

/* With slub_debug=P, freed memory is full of 0x6b. */
static noinline void by_uaf(void)
{
	struct box *box = kzalloc(sizeof(*box), GFP_KERNEL);

	if (!box)
		return;
	box->next = box;
	kept = box;
	kfree(box);
	kept->next->label = 2;
	STAY();
}

static noinline int by_stack(int levels)
{
	volatile char space[512];

	space[levels & 511] = levels;
	if (levels == zero)
		return space[0];
	return by_stack(levels + 1) + space[levels & 511];
}

static noinline void by_divide(void)
{
	depth = 100 / zero;
	STAY();
}

static noinline void by_timer(struct timer_list *timer)
{
	by_null();
	STAY();
}

static noinline void by_interrupt(struct irq_work *work)
{
	by_null();
	STAY();
}

static noinline void by_work(struct work_struct *work)
{
	by_null();
	STAY();
}

static noinline void by_softlockup(void)
{
	preempt_disable();
	while (!zero)
		cpu_relax();
	preempt_enable();
}

static noinline void by_hardlockup(void)
{
	unsigned long flags;

	local_irq_save(flags);
	while (!zero)
		cpu_relax();
	local_irq_restore(flags);
}

/* Waits for what it holds itself. */
static noinline void by_hungtask(void)
{
	static DEFINE_MUTEX(held);

	mutex_lock(&held);
	mutex_lock(&held);
	STAY();
}

static DEFINE_TIMER(timer, by_timer);
static DECLARE_WORK(work, by_work);
static struct irq_work interrupt;

static noinline int crash(const char *how)
{
	if (sysfs_streq(how, "null"))
		by_null();
	else if (sysfs_streq(how, "call"))
		by_call();
	else if (sysfs_streq(how, "bug"))
		by_bug();
	else if (sysfs_streq(how, "panic"))
		by_panic();
	else if (sysfs_streq(how, "list"))
		by_list();
	else if (sysfs_streq(how, "uaf"))
		by_uaf();
	else if (sysfs_streq(how, "stack"))
		depth = by_stack(1);
	else if (sysfs_streq(how, "divide"))
		by_divide();
	else if (sysfs_streq(how, "timer"))
		mod_timer(&timer, jiffies + 1);
	else if (sysfs_streq(how, "interrupt"))
		irq_work_queue(&interrupt);
	else if (sysfs_streq(how, "work"))
		schedule_work(&work);
	else if (sysfs_streq(how, "softlockup"))
		by_softlockup();
	else if (sysfs_streq(how, "hardlockup"))
		by_hardlockup();
	else if (sysfs_streq(how, "hungtask"))
		by_hungtask();
	else
		return -EINVAL;
	return 0;
}

static int how_set(const char *value, const struct kernel_param *parameter)
{
	int result = crash(value);

	STAY();
	return result;
}

static const struct kernel_param_ops how_operations = { .set = how_set };
module_param_cb(how, &how_operations, NULL, 0200);
MODULE_PARM_DESC(how, "the way to crash");

static int __init crasher_start(void)
{
	init_irq_work(&interrupt, by_interrupt);
	return 0;
}

module_init(crasher_start);
MODULE_DESCRIPTION("Crashes a guest in a way that its tests ask for");
MODULE_LICENSE("GPL");
