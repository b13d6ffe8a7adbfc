// What Qlik's REST connector does, by the class that it does it with: HttpWebRequest, here of Debian's mono.
//
// Blanks in URLs, POST bodies announced with Expect: 100-continue, credentials that are sent only after a challenge,
// DELETE by header, TTLs as strings, connections that are kept. Started by compat/run; takes no arguments.

using System;
using System.IO;
using System.Net;
using System.Text;

static class HttpWebRequests
{
    static readonly string Open = "http://127.0.0.1:" + Environment.GetEnvironmentVariable("COMPAT_HTTP_PORT");
    static readonly string Closed = "http://127.0.0.1:" + Environment.GetEnvironmentVariable("COMPAT_AUTH_HTTP_PORT");
    static readonly string Password = Environment.GetEnvironmentVariable("COMPAT_PASSWORD");
    static int passed, failed;

    sealed class Answer
    {
        public int Status;
        public string Type, Body, Challenge;
    }

    static Answer Send(string method, string url, string body, params string[] headers)
    {
        return Send(Prepare(method, url, headers), body);
    }

    static HttpWebRequest Prepare(string method, string url, params string[] headers)
    {
        var request = (HttpWebRequest)WebRequest.Create(url);
        request.Method = method;
        request.Timeout = request.ReadWriteTimeout = 10000;
        request.KeepAlive = true;
        request.Proxy = null;
        request.ServicePoint.Expect100Continue = true;
        foreach (var header in headers) request.Headers.Add(header);
        return request;
    }

    static Answer Send(HttpWebRequest request, string body)
    {
        if (body != null)
        {
            var bytes = Encoding.UTF8.GetBytes(body);
            request.ContentType = bytes.Length > 0 ? "application/json" : null;
            request.ContentLength = bytes.Length;
            using (var stream = request.GetRequestStream()) stream.Write(bytes, 0, bytes.Length);
        }
        try
        {
            using (var response = (HttpWebResponse)request.GetResponse()) return Read(response);
        }
        catch (WebException refused)
        {
            if (refused.Response == null) throw;
            using (var response = (HttpWebResponse)refused.Response) return Read(response);
        }
    }

    static Answer Read(HttpWebResponse response)
    {
        using (var reader = new StreamReader(response.GetResponseStream(), Encoding.UTF8))
        {
            return new Answer
            {
                Status = (int)response.StatusCode,
                Type = response.ContentType,
                Challenge = response.Headers["WWW-Authenticate"],
                Body = reader.ReadToEnd(),
            };
        }
    }

    static void Check(string what, Action check)
    {
        try
        {
            check();
            passed++;
            Console.WriteLine("ok    " + what);
        }
        catch (Exception wrong)
        {
            failed++;
            Console.WriteLine("FAIL  " + what + "\n      " + wrong.GetType().Name + ": " + wrong.Message);
        }
    }

    static void Same(object expected, object actual)
    {
        if (!Equals(expected, actual)) throw new Exception("expected " + expected + ", got " + actual);
    }

    static void Has(string part, string text)
    {
        if (text == null || !text.Contains(part)) throw new Exception("expected " + part + " in " + text);
    }

    static int Main()
    {
        const string pair = "/v4/keyvalues/Reload chain parameter demo";
        Check("a pair is stored under names with blanks, announced with Expect", () =>
        {
            var stored = Send("POST", Open + pair, "{\"key\":\"Parameter 1\",\"value\":\"größer\",\"ttl\":\"60000\"}");
            Same(201, stored.Status);
            Has("\"ttl\":60000", stored.Body);
        });
        Check("and read with raw blanks in path and query", () =>
        {
            var read = Send("GET", Open + pair + "?key=Parameter 1", null);
            Same(200, read.Status);
            Same("application/json; charset=utf-8", read.Type);
            Same("{\"namespace\":\"Reload chain parameter demo\",\"key\":\"Parameter 1\",\"value\":\"größer\"}", read.Body);
        });
        Check("a long body waits for 100 Continue", () =>
        {
            var value = new string('x', 900000);
            Same(201, Send("POST", Open + "/v4/keyvalues/long", "{\"key\":\"k\",\"value\":\"" + value + "\"}").Status);
            Has(value, Send("GET", Open + "/v4/keyvalues/long?key=k", null).Body);
        });
        Check("DELETE by header, without a body", () =>
        {
            Same(204, Send("POST", Open + pair + "/Parameter 1", "", "X-HTTP-Method-Override: DELETE").Status);
            Has("\"keyExists\":false", Send("GET", Open + pair + "/keyexists?key=Parameter 1", null).Body);
        });
        Check("a soft error is no exception", () =>
        {
            var body = "{\"namespace\":\"no such\",\"key\":\"k\"}";
            var soft = Send("POST", Open + "/v1/get", body, "X-KV-Soft-Errors: 1");
            Same(200, soft.Status);
            Has("\"error\":\"namespace_not_found\"", soft.Body);
            Same(404, Send("POST", Open + "/v1/get", body).Status);
        });
        Check("names may come in headers", () =>
        {
            Same(200, Send("POST", Open + "/v1/set", "{\"value\":\"3\",\"ttl\":\"PT1H\"}", "X-KV-Namespace: net shop", "X-KV-Key: a b").Status);
            Has("\"value\":\"3\"", Send("GET", Open + "/v1/get", null, "X-KV-Namespace: net shop", "X-KV-Key: a b").Body);
        });
        Check("a namespace comes as CSV", () =>
        {
            var csv = Send("GET", Open + "/v1/namespaces/net shop.csv", null);
            Has("text/csv", csv.Type);
            Has("net shop,a b,3,", csv.Body);
        });
        Check("without credentials there is a challenge", () =>
        {
            var refused = Send("GET", Closed + "/v1/ping", null);
            Same(401, refused.Status);
            Has("Basic realm=", refused.Challenge);
        });
        Check("credentials that are sent only after the challenge are taken, for GET", () =>
        {
            var secret = Convert.ToBase64String(Encoding.UTF8.GetBytes("default:" + Password));
            var makeUser = "[\"ACL\",\"SETUSER\",\"net\",\"on\",\">net word\",\"~*\",\"+@all\"]";
            Same(200, Send("POST", Closed + "/v1/command", makeUser, "Authorization: Basic " + secret).Status);
            var request = Prepare("GET", Closed + "/v1/ping");
            request.Credentials = new NetworkCredential("net", "net word");
            Same(200, Send(request, null).Status);
        });
        Check("and for POST, whose body is announced and then not wanted at first", () =>
        {
            var request = Prepare("POST", Closed + "/v1/set");
            request.Credentials = new NetworkCredential("net", "net word");
            Same(200, Send(request, "{\"namespace\":\"net\",\"key\":\"k\",\"value\":\"v\"}").Status);
        });
        Check("a connection is kept over many requests", () =>
        {
            ServicePointManager.FindServicePoint(new Uri(Open)).ConnectionLimit = 1;
            for (var i = 0; i < 50; i++)
            {
                Same(201, Send("POST", Open + "/v4/keyvalues/kept", "{\"key\":\"k\",\"value\":" + i + "}").Status);
                Has("\"" + i + "\"", Send("GET", Open + "/v4/keyvalues/kept?key=k", null).Body);
            }
            Same(1, ServicePointManager.FindServicePoint(new Uri(Open)).CurrentConnections);
        });
        Console.WriteLine("dotnet: " + passed + " passed, " + failed + " failed, 0 skipped");
        return failed == 0 ? 0 : 1;
    }
}
