/* Work for the compiler, not for the machine: 128 functions of nested loops, unlike each other. */
#include <math.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

#define FLIGHT(n) \
	static double JOIN(flight_, n)(double x) \
	{ \
		double honey = 0; \
		for (int i = 0; i < 4; i++) \
			for (int k = 0; k < 4 + (n) % 5; k++) \
				honey += sin(x * k + (n)) * cos(x / (SHIFT + k + 1)) + (i ^ k) * 0.001; \
		return honey; \
	}
#define FLIGHTS4(n) FLIGHT(n##0) FLIGHT(n##1) FLIGHT(n##2) FLIGHT(n##3)
#define FLIGHTS16(n) FLIGHTS4(n##0) FLIGHTS4(n##1) FLIGHTS4(n##2) FLIGHTS4(n##3)
#define FLIGHTS64(n) FLIGHTS16(n##0) FLIGHTS16(n##1) FLIGHTS16(n##2) FLIGHTS16(n##3)
FLIGHTS64(10) FLIGHTS64(11)

#define CALL(n) honey += JOIN(flight_, n)(x);
#define CALLS4(n) CALL(n##0) CALL(n##1) CALL(n##2) CALL(n##3)
#define CALLS16(n) CALLS4(n##0) CALLS4(n##1) CALLS4(n##2) CALLS4(n##3)
#define CALLS64(n) CALLS16(n##0) CALLS16(n##1) CALLS16(n##2) CALLS16(n##3)

double JOIN(worker_, SHIFT)(double x)
{
	double honey = 0;
	CALLS64(10) CALLS64(11)
	return honey;
}
