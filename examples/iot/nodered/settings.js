// Node-RED's settings for a read-only image: everything that changes lives in /data, a volume.
const admin = process.env.NODE_RED_ADMIN_HASH; // from: node-red admin hash-pw

module.exports = {
    userDir: "/data",
    flowFile: "flows.json",
    credentialSecret: process.env.NODE_RED_SECRET || false,
    uiPort: 1880,
    httpAdminRoot: "/",
    httpNodeRoot: "/api",
    adminAuth: admin && {
        type: "credentials",
        users: [{ username: "admin", password: admin, permissions: "*" }],
    },
    diagnostics: { enabled: false },
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false, allowUpload: false } },
    editorTheme: { projects: { enabled: false }, tours: false, palette: { catalogues: [] } },
    logging: { console: { level: "info", metrics: false, audit: false } },
};
