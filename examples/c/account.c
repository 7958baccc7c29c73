/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An actor: an account that keeps its balance between calls and refuses to be overdrawn.
 *
 *     cc -shared -fPIC -DACTOR -o account.so account.c
 *     cc -o account account.c $(pkg-config --cflags --libs mobula)
 *     ./account ./account.so
 */

#include <errno.h>
#include <mobula.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ACTOR

static int amount_of(MobulaCall *call, int64_t *ret_amount) {
    size_t size = 0;
    const void *data = mobula_arg(call, 0, &size);
    if (!data || size != sizeof(*ret_amount))
        return mobula_fail(call, -EINVAL, "an amount has 8 bytes, not %zu", size);
    memcpy(ret_amount, data, sizeof(*ret_amount));
    return 0;
}

static int open_account(MobulaCall *call, void **ret_self) {
    int64_t *balance = malloc(sizeof(*balance));
    int r = balance ? amount_of(call, balance) : -ENOMEM;
    if (r < 0) {
        free(balance);
        return r;
    }
    *ret_self = balance;
    return 0;
}

static int deposit(MobulaCall *call, void *self) {
    int64_t *balance = self, amount;
    int r = amount_of(call, &amount);
    if (r < 0)
        return r;
    *balance += amount;
    return mobula_return(call, 0, balance, sizeof(*balance));
}

static int withdraw(MobulaCall *call, void *self) {
    int64_t *balance = self, amount;
    int r = amount_of(call, &amount);
    if (r < 0)
        return r;
    if (amount > *balance)
        return mobula_fail(call, -EDOM, "the balance is %lld", (long long)*balance);
    *balance -= amount;
    return mobula_return(call, 0, balance, sizeof(*balance));
}

static const MobulaClassMethod methods[] = {
    { "deposit", deposit },
    { "withdraw", withdraw },
    { NULL, NULL },
};

const MobulaClass Account = { .construct = open_account, .destroy = free, .methods = methods };

#else

static void check(int r, const char *what) {
    if (r == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, r < 0 ? mobula_error_text(r) : "it took too long");
    exit(1);
}

static void call(Mobula *mobula, MobulaActor *actor, MobulaMethod *method, const char *name,
                 int64_t amount) {
    MobulaRef *ref;
    MobulaValue value;
    MobulaArg arg = { .data = &amount, .size = sizeof(amount) };
    check(mobula_actor_submit(actor, method, &arg, 1, &ref), name);
    check(mobula_get(mobula, &ref, 1, 60 * 1000000, &value), name);
    int64_t balance = 0;
    if (!value.error)
        memcpy(&balance, value.data, sizeof(balance));
    if (value.error)
        printf("%s %lld: %s\n", name, (long long)amount, value.error);
    else
        printf("%s %lld: balance %lld\n", name, (long long)amount, (long long)balance);
    mobula_value_release(&value);
    mobula_ref_drop(ref);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: account LIBRARY\n");
        return 2;
    }
    Mobula *mobula;
    MobulaLibrary *library;
    MobulaActor *account;
    MobulaMethod *deposit, *withdraw;
    int64_t opening = 100;
    MobulaArg arg = { .data = &opening, .size = sizeof(opening) };
    check(mobula_connect(NULL, &mobula), "connect");
    check(mobula_library_open(mobula, argv[1], &library), "open the library");
    check(mobula_actor_new(library, "Account", NULL, &arg, 1, &account), "make the actor");
    check(mobula_method_new(mobula, "deposit", NULL, &deposit), "deposit");
    check(mobula_method_new(mobula, "withdraw", NULL, &withdraw), "withdraw");
    call(mobula, account, deposit, "deposit", 50);
    call(mobula, account, withdraw, "withdraw", 120);
    call(mobula, account, withdraw, "withdraw", 120);
    mobula_method_free(deposit);
    mobula_method_free(withdraw);
    mobula_actor_drop(account);
    mobula_library_close(library);
    mobula_disconnect(mobula);
    return 0;
}

#endif
