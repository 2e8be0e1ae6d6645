/* A Python that begins with the sanitizers' run-time library, so that an extension built with them can be imported
 * whatever the environment says: tests start many Pythons, some with none of it. */
#include <Python.h>

/* Python itself keeps memory until it ends, and so do its modules. Some tests end a process by a signal and want to see
 * it end so. What is reported ends the process, and is written where tools/check-sanitize.sh looks for it. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0:detect_stack_use_after_return=1:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:log_"
           "path=" REPORTS;
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:halt_on_error=1:log_path=" REPORTS;
}

int main(int argc, char **argv)
{
    return Py_BytesMain(argc, argv);
}
